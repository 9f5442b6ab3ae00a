"""Make the subset: `python -m helpers.fonts.make NotoSansCJKsc-Regular.otf`.

The font lies in PyPI's `mplfonts` 0.0.11 (`pip download --no-deps mplfonts==0.0.11`, then unzip). What is kept: the
6,763 characters of GB 2312, its signs, and the traditional characters of page 2, without hints and layout rules. The
licence lets a changed font be given on under another name; this one carries neither "Noto" nor "Source" in its own.
"""

import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

from ..profile import ROOT
from . import FAMILY, FILE

SIGNS, HANZI = range(1, 4), range(16, 88)  # rows of the GB 2312 table
NAMES = {1: FAMILY, 2: "Regular", 3: f"{FAMILY} Regular", 4: FAMILY, 6: FAMILY.replace(" ", "")}


def traditional() -> set[str]:
    """Chinese characters of the dirty file, where traditional ones are planted."""
    text = (ROOT / "data/dirty/dirty.jsonl").read_bytes().decode("utf-8", errors="ignore")
    return {c for c in text if "\u3000" <= c <= "\u9fff"}


def characters() -> str:
    """GB 2312 without its Greek, Cyrillic and kana, and the traditional characters that page 2 shows."""
    places = ((row, column) for row in (*SIGNS, *HANZI) for column in range(1, 95))
    common = {bytes([0xA0 + row, 0xA0 + column]).decode("gb2312", errors="ignore") for row, column in places}
    return "".join(sorted(common | traditional()))


def make(source: Path, target: Path = FILE) -> None:
    """Write the subset of a Noto Sans CJK SC font, renamed; the same source gives the same bytes."""
    options = subset.Options(
        layout_features=[], hinting=False, notdef_outline=True, desubroutinize=True, name_IDs=["*"]
    )
    font = TTFont(source, recalcTimestamp=False)
    cut = subset.Subsetter(options)
    cut.populate(text=characters())
    cut.subset(font)
    for record in list(font["name"].names):
        if record.nameID in NAMES:
            record.string = NAMES[record.nameID]
        elif record.nameID not in (0, 5, 13, 14):  # copyright, version and licence stay
            font["name"].removeNames(nameID=record.nameID)
    top = font["CFF "].cff
    top.fontNames[0] = NAMES[6]
    top[0].FullName, top[0].FamilyName = FAMILY, FAMILY
    font.save(target)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
