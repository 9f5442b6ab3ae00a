"""Coefficients of the closed form, from a few small traces."""

from dataclasses import replace

from .cards import CARDS, Card
from .estimate import FEW
from .formula import PeakFormula
from .recipe import Recipe
from .step import kept_tokens
from .trace import follow

ROW = 4096  # tokens of the smallest batch traced; three times as many for the other end of the line


def fit_tokens(recipe: Recipe, card: Card = CARDS["h100"]) -> PeakFormula:
    """Fit `PeakFormula` to a recipe; its batch, length and supervised share do not matter.

    Two layer counts at two batch sizes give the lines in the tokens. Where only supervised tokens get logits, one more
    trace gives the line in those. Where memory also grows with the length of a row, two more give that.
    A recipe with padding keeps it at every batch size.

    Raises:
        RecipeError: a model that cannot be built.
    """
    rows = 2 if recipe.has_padding else 1
    fixed = replace(
        recipe,
        padded=recipe.has_padding,
        gradient_accumulation_steps=2 if recipe.accumulates else 1,
        supervised_share=1.0,
    )

    def points(layers: int, number: int, length: int, share: float = 1.0) -> dict:
        at = replace(fixed, per_device_train_batch_size=number, max_length=length, supervised_share=share)
        phases = follow(at.with_layers(layers), card)[0].phases
        return {name: phases[name]["bytes"] for name in phases} | {"tokens": at.tokens, "kept": kept_tokens(at)}

    layers = recipe.config["num_hidden_layers"]

    def whole(number: int, length: int) -> dict:
        """A point continued to all layers."""
        if layers <= FEW[1]:
            return points(layers, number, length)
        x, y = (points(n, number, length) for n in FEW)
        names = (x.keys() & y.keys()) - {"tokens", "kept"}
        return {n: y[n] + (layers - FEW[1]) * (y[n] - x[n]) for n in names} | {"tokens": y["tokens"], "kept": y["kept"]}

    grows = recipe.has_padding or recipe.attn_impl == "eager"
    row = ROW // 4 if grows else ROW
    small, large = whole(rows, row), whole(3 * rows, row)
    per_kept = dict.fromkeys(small, 0.0)
    if recipe.keeps:
        head = min(layers, FEW[0])
        full, half = points(head, rows, row), points(head, rows, row, 0.5)
        for name in full.keys() & half.keys() - {"tokens", "kept"}:
            if name.endswith("+logits"):
                per_kept[name] = (full[name] - half[name]) / (full["kept"] - half["kept"])
    square = dict.fromkeys(small, 0.0)
    if grows:
        long = whole(rows, 2 * row)
        for name in small.keys() & large.keys() & long.keys():
            per_token = (large[name] - small[name]) / (large["tokens"] - small["tokens"])
            more = long[name] - small[name] - per_token * (long["tokens"] - small["tokens"])
            square[name] = more / (long["tokens"] * row)
    lines = {}
    for name in (small.keys() & large.keys()) - {"tokens", "kept"}:

        def rest(point, name=name):
            return point[name] - per_kept[name] * point["kept"] - square[name] * point["tokens"] * row

        slope = (rest(large) - rest(small)) / (large["tokens"] - small["tokens"])
        lines[name] = (rest(small) - slope * small["tokens"], slope, per_kept[name], square[name])
    return PeakFormula(dict(sorted(lines.items())))
