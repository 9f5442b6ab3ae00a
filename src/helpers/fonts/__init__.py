"""The Chinese glyphs of the figures: a part of Noto Sans CJK SC, under the name Listener Sans SC (OFL 1.1).

matplotlib's own font has no Chinese, and a system may have none. `notebooks/matplotlibrc` names both fonts; matplotlib
takes each glyph from the first that has it. The file is made by `helpers.fonts.make`.
"""

from pathlib import Path

FAMILY = "Listener Sans SC"
FILE = Path(__file__).with_name("ListenerSansSC-Regular.otf")


def register() -> None:
    """Tell matplotlib of the font; nothing changes if it knows it already."""
    from matplotlib.font_manager import fontManager

    if FAMILY not in fontManager.get_font_names():
        fontManager.addfont(FILE)
