"use strict";
// What pages that watch a loop have in common: the newest tick, innovations, sliders.
const find = id => document.getElementById(id);
const colour = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name);
const percent = part => (100 * part).toFixed(1) + " %";
const past = [];
let now = null, begun = 0, gap = 500;

function paper(id) {
  const canvas = find(id), ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = width * ratio; canvas.height = height * ratio;
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.font = "12px system-ui, sans-serif";
  return [pen, width, height];
}
function axis(pen, width, y, text) {
  pen.strokeStyle = colour("rule"); pen.setLineDash([]); pen.lineWidth = 1;
  pen.beginPath(); pen.moveTo(36, y); pen.lineTo(width, y); pen.stroke();
  pen.fillStyle = colour("pale"); pen.fillText(text, 0, y + 4);
}
// Which of so many moments of the newest tick is shown: a tick takes as long as the last.
function moment(count) {
  const share = Math.min(0.999, (performance.now() - begun) / gap);
  return Math.floor(share * count);
}
function drawPast(marked, what) {
  const [pen, width, height] = paper("past");
  const base = height - 18, scale = r => Math.min(1, r) * (base - 22);
  axis(pen, width, base, "0"); axis(pen, width, base - scale(1), "≥ 1");
  const step = (width - 40) / 80;
  past.forEach((tick, i) => {
    const x = 38 + i * step, r = tick.innovation === null ? 0 : scale(tick.innovation);
    pen.fillStyle = colour(tick[marked] ? "force" : "plan");
    pen.fillRect(x, base - r, Math.max(1, step - 2), Math.max(1, r));
    if (tick[marked]) { pen.beginPath(); pen.arc(x + step / 2, base + 9, 3, 0, 7); pen.fill(); }
  });
  pen.fillStyle = colour("pale");
  pen.fillText("innovation of each tick; dots: " + what, 44, 11);
}
function connect(wish, body) {
  const inputs = [...find(wish).querySelectorAll("input")];
  const say = () => inputs.forEach(i => i.nextElementSibling.value = (+i.value).toFixed(2));
  const send = () => fetch("/" + wish, {method: "POST", headers: {"Content-Type": "application/json"},
    body: JSON.stringify(body(Object.fromEntries(inputs.map(i => [i.name, +i.value]))))});
  inputs.forEach(i => { i.addEventListener("input", say); i.addEventListener("change", send); });
  say();
}
// `said(tick)` has the text of each element by its id; `mark` names what dots stand for.
function watch(said, mark, draw) {
  const events = new EventSource("/events");
  events.onmessage = message => {
    const tick = JSON.parse(message.data);
    if (now) gap = Math.min(3000, Math.max(50, performance.now() - begun));
    now = tick; begun = performance.now();
    past.push(tick); if (past.length > 80) past.shift();
    const texts = {
      innovation: tick.innovation === null ? "–" : tick.innovation.toFixed(2),
      share: percent(tick.share), faults: tick.faults.join("; "),
      ms: tick.milliseconds.toFixed(1) + " / " + tick.planning.toFixed(0), ...said(tick),
    };
    for (const id in texts) find(id).textContent = texts[id];
    drawPast(...mark);
  };
  events.onerror = () => { find("faults").textContent = "The loop has ended."; };
  const drawing = () => { requestAnimationFrame(drawing); if (now) draw(now); };
  drawing();
}
