"""The same answer in about a second: two small layer counts are traced and continued to all layers."""

import time

from .cards import CARDS, Card
from .recipe import Memory, Recipe
from .stream import continued
from .trace import answer, follow

FEW = 2, 3  # layers; the first layer alone is not like the others


def estimate_step(recipe: Recipe, card: Card = CARDS["h100"]) -> Memory:
    """Every layer adds the same bytes, so the peak of each phase is a straight line in the number of layers.

    The stream of events is continued as well: what the third layer adds to the stream is repeated for every further
    one, and the allocator is replayed on it.

    Raises:
        RecipeError: a model that cannot be built.
    """
    start = time.perf_counter()
    layers = recipe.config["num_hidden_layers"]
    if layers <= FEW[1]:
        tracker, counts = follow(recipe, card)
        return answer(recipe, card, tracker.phases, counts, sum(tracker.by_phase(), []), start)
    (a, few), (b, more) = (follow(recipe.with_layers(n), card) for n in FEW)

    def line(x: int, y: int) -> int:
        return y + (layers - FEW[1]) * (y - x)

    phases = {}
    for name in a.phases.keys() & b.phases.keys():
        x, y = a.phases[name], b.phases[name]
        held = x["breakdown"].keys() | y["breakdown"].keys()
        parts = {k: line(x["breakdown"].get(k, 0), y["breakdown"].get(k, 0)) for k in sorted(held)}
        phases[name] = {"bytes": line(x["bytes"], y["bytes"]), "breakdown": {k: v for k, v in parts.items() if v > 0}}
    counts = {k: line(few[k], more[k]) for k in few}
    return answer(recipe, card, phases, counts, continued(a.by_phase(), b.by_phase(), layers), start)
