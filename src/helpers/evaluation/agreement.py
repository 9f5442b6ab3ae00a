"""How far two raters agree, people or models: weighted kappa of their scores, with an interval."""

from collections.abc import Sequence

import numpy as np

from .rubric import AXES
from .significance import Sums, interval

SCALE = 4  # scores 0 to 3


def kappa(first: Sequence[int], second: Sequence[int], power: int = 2, seed: int = 0) -> dict:
    """Cohen's weighted kappa of scores 0 to 3 given to the same things: 1 is full agreement, 0 what chance gives.

    Args:
        power: 2 weighs a disagreement by its square, 1 by its size.

    Returns:
        `score`, `low`, `high`, `n`; the score is None where kappa is not defined, because both raters gave one and the
        same score to everything.

    Source: J. Cohen, Weighted kappa, 1968.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} scores are not pairs")
    rows = np.zeros((len(first), SCALE, SCALE))
    rows[np.arange(len(first)), np.array(first, int), np.array(second, int)] = 1
    apart = np.abs(np.subtract.outer(np.arange(SCALE), np.arange(SCALE))) ** power

    def combine(totals: np.ndarray) -> np.ndarray:
        counts = totals.reshape(*totals.shape[:-1], SCALE, SCALE)
        n = counts.sum(axis=(-2, -1))
        chance = counts.sum(axis=-1)[..., :, None] * counts.sum(axis=-2)[..., None, :]
        seen, expected = (counts * apart).sum(axis=(-2, -1)), (chance * apart).sum(axis=(-2, -1)) / n
        # A drawn sample in which all scores are one and the same holds no disagreement: it counts as agreement.
        return np.where(expected == 0, 1.0, 1 - seen / np.where(expected == 0, 1, expected))

    found = interval(Sums(rows.reshape(len(first), SCALE**2), combine), seed)
    if len({*first, *second}) < 2:
        found |= {"score": None, "low": None, "high": None}
    return found


def by_axis(first: Sequence[dict], second: Sequence[dict], seed: int = 0) -> dict[str, dict]:
    """Weighted kappa for each axis, over what both raters scored.

    Args:
        first, second: rows with `id` and `scores`, as `judge.rate` and `ratings.Store.scores` give them; a row without
            scores does not count, and of several with one id the last does.
    """
    one, other = ({r["id"]: r["scores"] for r in rows if r["scores"]} for rows in (first, second))
    both = [name for name in one if name in other]
    return {axis: kappa([one[i][axis] for i in both], [other[i][axis] for i in both], seed=seed) for axis in AXES}
