"""One Chromium for all tests of this folder; it is the distribution's package, nothing is downloaded."""

import shutil

import pytest
from playwright.sync_api import sync_playwright


@pytest.fixture(scope="module")
def chromium():
    """A headless browser that is closed at the end of each file."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "these tests need Chromium: install the package chromium of your distribution."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def stay_here():
    """`stay_here(context, elsewhere)` keeps a browser's context from other hosts, and notes what it asked of them."""

    def stay(context, elsewhere: list[str]) -> None:
        def only_here(route):
            if route.request.url.startswith(("http://127.0.0.1:", "file:", "data:", "blob:")):
                return route.continue_()
            elsewhere.append(f"asked for {route.request.url}")
            return route.abort()

        context.route("**/*", only_here)

    return stay
