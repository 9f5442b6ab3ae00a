"""Every built page in a browser: nothing from elsewhere, no error, readable by everyone, in both themes, on a phone.

`make browser` after `make book`: these tests look at `_build/html` as it is and build nothing.
"""

import functools
import http.server
import os
import threading
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe

from helpers.profile import ROOT

SITE = Path(os.environ.get("SITE_FOLDER", ROOT / "_build" / "html"))
PAGES = sorted(str(path.relative_to(SITE)) for path in SITE.rglob("*.html") if path.name != "index.html")
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
SERIOUS = {"serious", "critical"}


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and writes nothing."""

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address():
    """Where the site is served, as any static host would."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=SITE))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def browser_page(chromium, stay_here):
    """A page that reaches nothing but this machine, and the list of what went wrong on it."""
    wrong = []
    context = chromium.new_context(viewport=DESK, reduced_motion="reduce")
    stay_here(context, wrong)
    page = context.new_page()
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("console", lambda line: wrong.append(f"console: {line.text}") if line.type == "error" else None)
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    page.on("response", lambda r: wrong.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
    yield page, wrong
    context.close()


def barriers(page, *rules: str) -> list[str]:
    """What axe-core finds that keeps someone from reading, serious or worse; of all rules unless some are named."""
    options = {"resultTypes": ["violations"], "preload": False} | ({"runOnly": rules} if rules else {})
    found = Axe().run(page, options=options).response["violations"]
    return [f"{v['id']}: {n['html'][:160]} {n['target']}" for v in found if v["impact"] in SERIOUS for n in v["nodes"]]


def test_the_book_is_built_in_both_languages():
    assert PAGES, "there is no book to look at: run `make book` first."
    english = {path for path in PAGES if not path.startswith("zh/")}
    assert english and {f"zh/{path}" for path in english} == set(PAGES) - english


@pytest.mark.parametrize("path", PAGES)
def test_page_is_whole_and_open_to_everyone(address, browser_page, path):
    page, wrong = browser_page
    page.goto(f"{address}/{path}")
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    wrong += [f"light: {barrier}" for barrier in barriers(page)]
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    wrong += [f"dark: {barrier}" for barrier in barriers(page, "color-contrast", "link-in-text-block")]
    page.set_viewport_size(PHONE)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert not wrong, "\n".join(wrong)
    assert width <= PHONE["width"], f"{width} px wide on a phone"


def test_the_checks_find_what_they_look_for(address, browser_page):
    page, wrong = browser_page
    page.goto(f"{address}/book/glossary.html")
    pale = "<p style='color: #ccc; background: #ddd; width: 999px'>Hardly to be read</p>"
    page.evaluate("html => document.querySelector('article h1').insertAdjacentHTML('afterend', html)", pale)
    assert any("color-contrast" in barrier for barrier in barriers(page, "color-contrast"))
    page.evaluate("fetch('http://example.org/x.js').catch(() => null)")
    page.evaluate("fetch('missing.js')")
    page.evaluate("setTimeout(() => { throw Error('thrown') })")
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") > PHONE["width"]
    assert {what.split(":")[0].split(" ")[0] for what in wrong} >= {"asked", "404", "error"}


@pytest.mark.parametrize("path", PAGES)
def test_page_opens_from_a_folder(browser_page, path):
    page, wrong = browser_page
    page.goto((SITE / path).as_uri())
    assert page.title()
    assert not wrong, "\n".join(wrong)


def test_the_switch_goes_to_the_same_page_and_back(address, browser_page):
    page, wrong = browser_page
    page.goto(f"{address}/notebooks/04_vram.html")
    page.locator(".language-switch").click()
    page.wait_for_url(f"{address}/zh/notebooks/04_vram.html")
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    page.locator(".language-switch").click()
    page.wait_for_url(f"{address}/notebooks/04_vram.html")
    assert not wrong


@pytest.mark.parametrize(("path", "words"), [("", "gradient checkpointing"), ("zh/", "显存"), ("zh/", "梯度检查点")])
def test_search_finds_words_of_both_languages(address, browser_page, path, words):
    page, wrong = browser_page
    page.goto(f"{address}/{path}search.html?q={words}")
    page.locator("#search-results ul.search li").first.wait_for()
    assert "vram" in " ".join(a.get_attribute("href") for a in page.locator("#search-results li a").all())
    assert not wrong
