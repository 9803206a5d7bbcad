"""The live loop over HTTP: read states, change goal and push, stop."""

import asyncio
import base64
import itertools
import json
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdno import cli
from wdno.accelerate.latest import Appointments
from wdno.demo.live import LiveLoop
from wdno.demo.live_server import serving
from wdno.demo.watched import running
from wdno.systems import Burgers

SMALL = Burgers(points=16, frames=8, duration=0.8, refinement=1)


def pull(request):
    """A force towards the goal, and no idea of what it does to the flow."""
    frames = 8 - request.tick * 4 % 8
    u0, goal = request.state["u0"], request.goal["uT"]
    f = np.repeat((goal - u0)[:, None] / 0.8, frames, axis=1)
    u = np.linspace(u0, goal, frames + 1, axis=1, dtype=np.float32)
    return {"f": f, "u": u[:, 1:]}


def make_loop(make=pull):
    return LiveLoop(SMALL, make, every=4, key=jax.random.key(0))


@contextmanager
def page(make=pull):
    loop = make_loop(make)
    with running(loop, pace=0.02), serving(loop) as address:
        yield address


def ask(address, path="", wish=None, **headers):
    body = None if wish is None else json.dumps(wish).encode()
    if body:
        headers.setdefault("Content-Type", "application/json")
    request = urllib.request.Request(address + path, body, headers)
    return urllib.request.urlopen(request, timeout=30)


def ticks(address):
    """What the stream says, tick by tick."""
    with ask(address, "events") as stream:
        for line in stream:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])


def refused(address, *arguments, **headers):
    with pytest.raises(urllib.error.HTTPError) as answer:
        ask(address, *arguments, **headers)
    return answer.value.code, answer.value.read().decode()


def test_the_page_shows_a_running_loop_that_obeys():
    with page() as address:
        html, style, script = (
            ask(address, path).read().decode() for path in ("", "live.css", "live.js")
        )
        assert "<title>wdno live" in html
        assert not {"http:", "https:"} & {*re.findall("https?:", html + style + script)}
        for name in re.findall(r"""(?:find|paper)\("(\w+)"\)""", html + script):
            assert f'id="{name}"' in html  # what scripts look for is on the page
        seen = ticks(address)
        first = next(seen)
        assert np.shape(first["u"]) == (4, 16) and np.shape(first["f"]) == (16,)
        assert first["milliseconds"] > 0
        ask(address, "goal", {"heights": [1.5, 0.0], "places": [0.5, 0.5]}).read()
        ask(address, "push", {"strength": -1.0, "place": 0.25}).read()
        later = next(tick for tick in seen if tick["push"][4] < -0.9)
        assert later["tick"] > first["tick"]
        later = next(seen)
        assert later["goal"][8] == pytest.approx(1.5, abs=0.01)
        assert later["goal"] != first["goal"]
        numbers = [later["tick"], *(next(seen)["tick"] for _ in range(3))]
        assert (np.diff(numbers) > 0).all()
    assert not {"loop", "page", "planning"} & {t.name for t in threading.enumerate()}


def test_what_is_no_goal_is_refused_and_the_loop_goes_on():
    with page() as address:
        far = {"heights": [9.0, 0.0], "places": [0.5, 0.5]}
        assert refused(address, "goal", far) == (
            400,
            "ValueError: Heights of a goal lie between -2 and 2, but got (9.0, 0.0). "
            "Choose others.",
        )
        assert (
            refused(address, "push", {"strength": float("nan"), "place": 0.5})[0] == 400
        )
        assert refused(address, "goal", {"heights": [1.0]})[0] == 400
        assert refused(address, "push", [1])[0] == 400
        plain = {"Content-Type": "text/plain"}
        wish = {"strength": 1.0, "place": 0.5}
        assert "application/json" in refused(address, "push", wish, **plain)[1]
        assert refused(address, "", None, Host="elsewhere.org")[0] == 403
        assert refused(address, "stop")[0] == refused(address, "stop", {})[0] == 404
        assert next(ticks(address))["push"] == [0.0] * 16


def test_the_flow_is_the_solver_s_under_force_and_push():
    loop = make_loop()
    loop.steering.begin(0, *loop.known)
    loop.push(0.5, 0.5)
    start, _ = loop.known
    shown = loop.advance()
    expected = pull(type("R", (), {"tick": 0, "state": start, "goal": loop.known[1]}))
    push = np.asarray(shown["push"])
    force = expected["f"][:, :4] + push
    inputs = {"u0": jnp.asarray(start["u0"]), "f": jnp.asarray(force, jnp.float32)}
    u = SMALL.over(4).solve(inputs)["u"]
    np.testing.assert_allclose(shown["u"], u[0], atol=2e-3)
    assert shown["new"] and shown["until"] == 4 and shown["innovation"] < 0.1


def test_planning_that_fails_is_shown():
    calls = []

    def fail_later(request):
        calls.append(request)
        if len(calls) > 1:
            raise ValueError("no finite plan")
        return pull(request)

    with page(fail_later) as address:
        fault = next(t["faults"] for t in ticks(address) if t["faults"])
    assert any("no finite plan" in text for text in fault)


@pytest.mark.slow
def test_the_shipped_planner_meets_its_appointments():
    import wdno
    from wdno.planning.objectives import reach

    model = wdno.load("burgers-control")
    planner = wdno.Planner(model, reach(("u",), ("f",), 2e-5), steps=1)
    make = Appointments(planner, 8, jax.random.key(1))
    loop = LiveLoop(Burgers().over(32), make, key=jax.random.key(0))
    loop.steering.begin(0, *loop.known)
    missed, still = [], None
    for _ in range(16):
        shown = loop.advance()
        while (request := loop.planning.requests.poll()) is not None:
            loop.planning.plans.put(loop.planning.answer(request))
        if shown["until"] == 0:
            missed.append(shown["miss"])
            still = np.mean(np.square(shown["goal"]))
    assert len(missed) == 4
    assert np.mean(missed) < 0.5 * still  # all of it is what a flow at rest misses


BROWSERS = "chromium", "chromium-browser", "google-chrome"


async def browse(socket):
    """Wait for ticks on the page, move its sliders; what it says, and a picture."""
    from aiohttp import ClientSession

    async with ClientSession() as session, session.ws_connect(socket) as page:
        numbers = itertools.count(1)

        async def call(method, **parameters):
            number = next(numbers)
            await page.send_json({"id": number, "method": method, "params": parameters})
            while (answer := await page.receive_json()).get("id") != number:
                pass
            return answer["result"]

        async def run(code):
            answer = await call("Runtime.evaluate", expression=code)
            return answer["result"].get("value")

        await until(lambda: run("past.length > 20"))
        for name, value in {"h0": 1.5, "strength": -1.0}.items():
            await run(
                f"input = document.querySelector('[name={name}]'); input.value = "
                f"{value}; input.dispatchEvent(new Event('change'));"
            )
        await until(lambda: run("now.push.some(p => p < -0.9)"))
        await until(lambda: run("now.goal.some(u => u > 1.2)"))
        drawn = await run(
            "flow = document.getElementById('flow');"
            "flow.getContext('2d').getImageData(0, 0, flow.width, flow.height)"
            ".data.some(v => v > 0)"
        )
        picture = await call("Page.captureScreenshot")
        time = await run("document.getElementById('time').textContent")
        return drawn, float(time), base64.b64decode(picture["data"])


async def until(condition):
    for _ in range(600):
        if await condition():
            return
        await asyncio.sleep(0.05)
    raise TimeoutError


@contextmanager
def browser_at(address, folder):
    """Where to talk to a browser that shows a page."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("no browser here")
    options = "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1000,950"
    ports = f"--user-data-dir={folder}", "--remote-debugging-port=0"
    browser = subprocess.Popen(
        [program, *options, *ports, address], stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(600):
            with suppress(OSError, ValueError, IndexError):
                port = (folder / "DevToolsActivePort").read_text().split()[0]
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as found:
                    tabs = json.load(found)
                yield next(
                    t["webSocketDebuggerUrl"] for t in tabs if t["url"] == address
                )
                return
            time.sleep(0.05)
        raise TimeoutError
    finally:
        browser.terminate()
        browser.wait(30)


@pytest.mark.slow
def test_a_browser_shows_the_loop_and_its_sliders_move_it(tmp_path):
    pytest.importorskip("aiohttp")
    with page() as address, browser_at(address, tmp_path) as socket:
        drawn, shown, picture = asyncio.run(browse(socket))
    (tmp_path / "page.png").write_bytes(picture)
    assert drawn and shown > 0 and picture.startswith(b"\x89PNG")


def test_the_command_refuses_nonsense(capsys):
    with pytest.raises(SystemExit):
        cli.main(["live", "burgers", "--pace", "-1"])
    assert "0.1 seconds or more, but got --pace -1" in capsys.readouterr().err
