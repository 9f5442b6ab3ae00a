"""Drawings: SVG that needs nothing from elsewhere, described for those who cannot see it, alike in both languages."""

import base64
import io
import re
from xml.etree import ElementTree

import pytest
from fontTools.ttLib import TTFont

from helpers.profile import ROOT

DRAWN = sorted((ROOT / "book/figures").glob("*.svg"))
PAGES = [*sorted(ROOT.glob("book/*.md")), *sorted(ROOT.glob("notebooks/*.md"))]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("path", DRAWN, ids=lambda p: p.name)
def test_drawing_has_a_title_a_description_and_nothing_from_elsewhere(path):
    root = ElementTree.parse(path).getroot()
    assert root.get("role") == "img" and root.get("viewBox")
    named = {e.get("id"): e.text for e in root.iter() if e.tag in (SVG + "title", SVG + "desc")}
    assert all(named[i].strip() for i in root.get("aria-labelledby").split()) and len(named) == 2
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|<script|<image|@import|url\((?!#|data:font/)", text)


def test_a_drawing_with_words_is_there_in_both_languages_and_they_differ_in_words_alone():
    with_words = [p for p in DRAWN if "<text" in p.read_text(encoding="utf-8") and ".zh_CN" not in p.name]
    assert with_words
    for path in with_words:
        english = path.read_text(encoding="utf-8")
        chinese = path.with_suffix(".zh_CN.svg").read_text(encoding="utf-8")
        chinese = re.sub(r"<style>.*</style>\n", "", chinese)  # its font
        without = [re.sub(r'>[^<]+<|font-family="[^"]*"', "><", text) for text in (english, chinese)]
        assert without[0] == without[1], path.name
        words = re.findall(r"<text[^>]*>([^<]+)<", chinese)
        assert all(re.search(r"[\u4e00-\u9fff]|^\d$", word) for word in words)


def glyphs(drawing: str) -> set[str]:
    """Characters of the font that a drawing carries."""
    font = TTFont(io.BytesIO(base64.b64decode(re.search(r"base64,([^)]+)", drawing)[1])))
    return {chr(number) for number in font.getBestCmap()}


def test_the_chinese_drawing_carries_a_glyph_for_each_of_its_characters(monkeypatch):
    drawing = (ROOT / "book/figures/road.zh_CN.svg").read_text(encoding="utf-8")
    words = "".join(re.findall(r"<text[^>]*>([^<]+)<", drawing))
    assert {c for c in words if c > "\u2e80"} <= glyphs(drawing)
    family = re.search(r"font-family: '([^']+)'", drawing)[1]
    assert f"'{family}'" in re.search(r'font-family="([^"]+)"', drawing)[1]
    monkeypatch.syspath_prepend(ROOT / "book/figures")
    from embed_font import embedded

    assert "龙" not in glyphs(drawing) and "龙" in glyphs(embedded(drawing.replace(">回答<", ">龙<")))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_pictures_on_a_page_have_a_text_for_those_who_cannot_see_them(page):
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^(?:```|:::)\{(?:figure|image)\}.*?^(?:```|:::)$", text, re.M | re.S):
        assert re.search(r"^:alt: .{20,}$", block, re.M), block
    assert not re.findall(r"!\[\]\(", text)


def test_the_cover_has_no_words_and_a_ground_of_its_own_so_that_both_themes_show_it():
    cover = (ROOT / "book/figures/cover.svg").read_text(encoding="utf-8")
    assert "<text" not in cover and re.search(r'<rect width="1200" height="360"[^>]*fill="url\(#night\)"', cover)
    assert "figures/cover.svg" in (ROOT / "book/intro.md").read_text(encoding="utf-8")
