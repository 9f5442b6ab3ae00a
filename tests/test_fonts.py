"""Figures: Chinese glyphs on any system, and one style that a phone and colour-blind eyes can read."""

import io
import itertools
import json
import subprocess
import sys
import warnings

import matplotlib
import nbformat
import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.colors import to_rgb

from helpers import fonts
from helpers.fonts.make import characters
from helpers.profile import ROOT

STYLE = matplotlib.rc_params_from_file(ROOT / "notebooks/matplotlibrc", use_default_template=True)


def test_the_font_has_the_characters_that_its_maker_promises():
    from fontTools.ttLib import TTFont

    font = TTFont(fonts.FILE)
    assert not set(map(ord, characters())) - font.getBestCmap().keys() and len(characters()) > 6763
    named = {str(n.toUnicode()) for n in font["name"].names if n.nameID in (1, 4, 6)}
    assert not [n for n in named if "Noto" in n or "Source" in n]  # as its licence wants of a changed font
    assert "Open Font License" in (fonts.FILE.parent / "OFL.txt").read_text(encoding="utf-8").title()


def test_chinese_text_is_drawn_with_the_shipped_font_and_latin_with_matplotlibs():
    import matplotlib.pyplot as plt

    fonts.register()
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing glyph is a warning
        figure = plt.figure()
        figure.text(0.1, 0.5, "显存 GiB，预测 ≈ 6 × 8.03e9")
        figure.savefig(io.BytesIO(), format="png")
        plt.close(figure)
        paths = font_manager.fontManager._find_fonts_by_props(font_manager.FontProperties())
    assert [str(fonts.FILE) == p for p in map(str, paths)][:2] == [False, True]


def test_a_notebook_knows_the_font_and_a_command_does_not_wait_for_matplotlib():
    code = "import sys, json{}; import helpers; print(json.dumps('matplotlib' in sys.modules))"
    for extra, loaded in (("", False), (", ipykernel", True)):
        out = subprocess.run([sys.executable, "-c", code.format(extra)], capture_output=True, text=True, check=True)
        assert json.loads(out.stdout) is loaded and not out.stderr


def test_letters_of_a_figure_stay_readable_on_a_phone():
    width = STYLE["figure.figsize"][0] * STYLE["figure.dpi"]
    assert STYLE["font.size"] / 72 * STYLE["figure.dpi"] * 358 / width >= 9.5  # 390 pixels less the margins


# What the eye's three cones see of a colour when one kind is missing (Viénot, Brettel and Mollon 1999; linear RGB).
BLIND = {
    "protan": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
    "deutan": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
}


def nearest(colours, kind):
    """The smallest distance of two colours as such an eye sees them, in sRGB."""
    seen = []
    for colour in colours:
        rgb = np.array(to_rgb(colour))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        seen.append(np.clip(np.array(BLIND[kind]) @ linear, 0, 1) ** (1 / 2.2))
    return min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))


@pytest.mark.parametrize("kind", BLIND)
def test_colours_of_the_cycle_stay_apart_for_colour_blind_eyes(kind):
    ours = STYLE["axes.prop_cycle"].by_key()["color"]
    theirs = matplotlib.rcParamsDefault["axes.prop_cycle"].by_key()["color"][: len(ours)]
    assert nearest(ours, kind) > 1.2 * nearest(theirs, kind)


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_cells_use_the_style_instead_of_bringing_their_own(path):
    code = "\n".join(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code")
    assert "rcParams" not in code and "style.use" not in code
