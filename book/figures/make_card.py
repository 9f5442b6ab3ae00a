"""The social card's picture, from the cover and the shipped font: `python book/figures/make_card.py` (Chromium)."""

import base64
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
FONT = base64.b64encode((ROOT / "src/helpers/fonts/ListenerSansSC-Regular.otf").read_bytes()).decode()
COVER = (ROOT / "book/figures/cover.svg").read_text(encoding="utf-8")
PAGE = f"""<style>@font-face {{ font-family: Listener; src: url(data:font/otf;base64,{FONT}) }}
body {{ margin: 0; height: 630px; background: #0b3954; color: #fff; font: 38px Listener; text-align: center }}
svg {{ display: block; padding: 40px 0 24px }} b {{ font: bold 56px sans-serif }}</style>
{COVER}<b>From Llama to Listener</b><br>从 Llama 到倾听者"""

with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
    page = browser.new_page(viewport={"width": 1200, "height": 630})
    page.set_content(PAGE)
    page.evaluate("document.fonts.ready")
    page.screenshot(path=ROOT / "book/_static/card.png")
    browser.close()
