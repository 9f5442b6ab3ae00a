"""Make the subset: `python -m helpers.fonts.make NotoSansCJKsc-Regular.otf`.

The font lies in PyPI's `mplfonts` 0.0.11 (`pip download --no-deps mplfonts==0.0.11`, then unzip). What is kept: the
3,755 characters of GB 2312's first level and its signs, without hints and layout rules. The licence lets a changed
font be given on under another name; this one carries neither "Noto" nor "Source" in its own.
"""

import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

from . import FAMILY, FILE

SIGNS, FIRST_LEVEL = range(1, 4), range(16, 56)  # rows of the GB 2312 table
NAMES = {1: FAMILY, 2: "Regular", 3: f"{FAMILY} Regular", 4: FAMILY, 6: FAMILY.replace(" ", "")}


def characters() -> str:
    """GB 2312's signs and first level."""
    places = ((row, column) for row in (*SIGNS, *FIRST_LEVEL) for column in range(1, 95))
    return "".join(bytes([0xA0 + row, 0xA0 + column]).decode("gb2312", errors="ignore") for row, column in places)


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
