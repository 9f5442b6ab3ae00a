"""Puts the Chinese glyphs of a drawing into it: `python book/figures/embed_font.py`, after a change of its words.

A picture on a page sees no font of the page, and a system may have no Chinese font; it would show empty boxes.
"""

import base64
import io
import re
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

ROOT = Path(__file__).resolve().parents[2]
FONT = ROOT / "src/helpers/fonts/ListenerSansSC-Regular.otf"
DRAWING = ROOT / "book/figures/road.zh_CN.svg"


def embedded(drawing: str) -> str:
    """The drawing with a style line that holds its Chinese glyphs; the same words give the same line."""
    drawing = re.sub(r"<style>.*?</style>\n", "", drawing, flags=re.S)
    words = "".join(re.findall(r"<text[^>]*>([^<]+)<", drawing))
    font, cut = TTFont(FONT, recalcTimestamp=False), subset.Subsetter()
    cut.populate(text=words)
    cut.subset(font)
    font.flavor = "woff"
    font.save(made := io.BytesIO())
    source = f"url(data:font/woff;base64,{base64.b64encode(made.getvalue()).decode()})"
    style = f"<style>@font-face {{ font-family: 'Listener Sans SC'; src: {source} }}</style>\n"
    return drawing.replace("<title", style + "<title", 1)


if __name__ == "__main__":
    DRAWING.write_text(embedded(DRAWING.read_text(encoding="utf-8")), encoding="utf-8")
