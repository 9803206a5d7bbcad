"""The built pages in a browser: whole, without the network, and in four sections."""

import functools
import http.server
import os
import shutil
import threading
from pathlib import Path

import pytest

import wdno

ROOT = Path(__file__).resolve().parents[1]
PAGES = Path(os.environ.get("WDNO_DOCS", ROOT / "docs/_build/html"))
SECTIONS = ["Tutorials", "How-to", "Explanation", "Reference"]
VISIBLE = """() => {
  const main = document.querySelector('main').cloneNode(true);
  main.querySelectorAll('pre, code, script, style').forEach(e => e.remove());
  return main.textContent;
}"""
BROKEN = """() => [...document.images]
  .filter(image => !image.complete || !image.naturalWidth)
  .map(image => image.src)"""
CUT = """() => [...document.querySelectorAll('main math')]
  .filter(formula => {
    const [own, around] = [formula, formula.parentElement.closest('p, td, li, dd')].map(
      element => element ? element.getBoundingClientRect() : {right: Infinity});
    const inside = [...formula.querySelectorAll('*')].map(
      part => part.getBoundingClientRect().right);
    return own.height < 5 || Math.max(...inside) > around.right + 2;
  })
  .map(formula => formula.textContent)"""
NAVIGATION = """() => [...document.querySelectorAll('.bd-header .nav-link')]
  .map(link => link.innerText.trim()).filter(text => text)"""


def test_every_public_name_is_on_the_page_of_the_api():
    page = (ROOT / "docs/api/index.md").read_text()
    listed = {line.strip().split(".")[-1] for line in page.splitlines()}
    assert {*wdno.__all__} <= listed


@pytest.fixture(scope="module")
def served():
    """Address of the built pages."""
    if not (PAGES / "index.html").is_file():
        pytest.skip(f"no pages in {PAGES}: `make docs` builds them")
    handler = functools.partial(Quiet, directory=PAGES)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def page(served):
    """A page of a browser, with what went wrong since the last look at it."""
    api = pytest.importorskip("playwright.sync_api", reason="needs wdno[docs]")
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    browsers = [path for name in names if (path := shutil.which(name))]
    with api.sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
        if not browsers and not own.exists():
            pytest.skip("no browser: apt-get install chromium, or playwright install")
        browser = playwright.chromium.launch(
            executable_path=browsers[0] if browsers else None, args=["--no-sandbox"]
        )
        page = browser.new_page()
        page.wrong = []

        def request(route):
            if route.request.url.startswith(served):
                return route.continue_()
            page.wrong.append(f"asks the network for {route.request.url}")
            return route.abort()

        page.route("**/*", request)
        page.on("console", lambda m: m.type == "error" and page.wrong.append(m.text))
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.on("requestfailed", lambda r: page.wrong.append(f"failed: {r.url}"))
        page.on(
            "response", lambda r: r.ok or page.wrong.append(f"{r.status} for {r.url}")
        )
        yield page
        browser.close()


@pytest.mark.slow
def test_every_page_is_whole_in_a_browser(served, page):
    special = ("genindex", "py-modindex", "search")
    wrong = {}
    paths = sorted(PAGES.rglob("*.html"))
    assert len(paths) > 100
    for path in paths:
        if "_static" in path.parts or "_modules" in path.parts:
            continue
        name = path.relative_to(PAGES).as_posix()
        page.wrong.clear()
        page.goto(f"{served}/{name}", wait_until="load")
        text = page.evaluate(VISIBLE)
        page.wrong += [f"broken picture {source}" for source in page.evaluate(BROKEN)]
        page.wrong += [f"cut formula {formula}" for formula in page.evaluate(CUT)]
        raw = [mark for mark in ("$", "\\", "<Figure size") if mark in text]
        if path.stem not in special:
            page.wrong += [f"raw text {mark}" for mark in raw]
        if page.evaluate(NAVIGATION)[:4] != SECTIONS:
            page.wrong.append(f"navigation {page.evaluate(NAVIGATION)}")
        if page.wrong:
            wrong[name] = [*page.wrong]
    assert not wrong


@pytest.mark.slow
def test_formulas_are_drawn(served, page):
    """A fraction has its parts above each other, and a sum is as tall as both."""
    page.goto(f"{served}/mathematics.html")
    heights = page.evaluate(
        "() => [...document.querySelectorAll('main mfrac')].map("
        "f => [...f.children].map(c => c.getBoundingClientRect().top))"
    )
    assert len(heights) > 10 and all(over < under for over, under in heights)
