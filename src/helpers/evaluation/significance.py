"""How sure a score is: bootstrap intervals, paired tests on the same rows, Holm's correction, and words for it.

Every score here is a function of sums over rows: a mean is a sum and a count, corpus BLEU is n-gram counts. So drawing
rows again, or swapping the two models in a row, means adding up other rows. Introduced in notebook 07.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, bootstrap, permutation_test

RESAMPLES = 2000  # of the rows, for one bootstrap interval
SWAPS = 9999  # of the two models; up to 13 rows every one of the swaps is counted instead
LEVEL = 0.05  # a p below it is called a difference
AT_ONCE = 2_000_000  # numbers that one batch of resamples may hold in memory


@dataclass(frozen=True)
class Sums:
    """A score as a function of sums over rows.

    Attributes:
        rows: what each row adds, (n, k).
        combine: the score of sums of shape (…, k), as an array of shape (…).
    """

    rows: np.ndarray
    combine: Callable[[np.ndarray], np.ndarray]

    def of(self, index: np.ndarray, axis: int = -1) -> np.ndarray:
        """The score of the rows with these numbers, (…, n) to (…)."""
        return self.combine(self.rows[index].sum(axis=-2))


def mean(values: Sequence[float]) -> Sums:
    """The mean of one value a row."""
    values = np.asarray(values, dtype=float)
    return ratio(values, np.ones_like(values))


def ratio(above: Sequence[float], below: Sequence[float]) -> Sums:
    """The sum of one value a row divided by the sum of another; 0 where the latter is 0."""
    rows = np.column_stack([np.asarray(above, dtype=float), np.asarray(below, dtype=float)])
    return Sums(rows, lambda s: s[..., 0] / np.where(s[..., 1] == 0, 1, s[..., 1]))


def interval(sums: Sums, seed: int = 0) -> dict:
    """A score with its 95 % bootstrap interval (`scipy.stats.bootstrap`, bias-corrected and accelerated).

    Source: B. Efron, Better Bootstrap Confidence Intervals, 1987. Plain percentiles stand where that is undefined, as
    for rows that are all alike.

    Returns:
        `score`, `low`, `high`, `n`; no interval for one row, nothing for none.
    """
    n = len(sums.rows)
    if not n:
        return {"score": None, "low": None, "high": None, "n": 0}
    low, high = _reach(sums.of, n, seed) if n > 1 else (None, None)
    return {"score": float(sums.of(np.arange(n))), "low": low, "high": high, "n": n}


def paired(base: Sums, tuned: Sums, seed: int = 0) -> dict:
    """The difference tuned minus base on the same rows, with its interval and a two-sided p.

    The interval draws rows again, both models together. The p counts in how many swaps of the two models, row by row,
    the difference is at least as large (`scipy.stats.permutation_test`, also called approximate randomization).

    Returns:
        `difference`, `low`, `high`, `p`, `n`; None where there are too few rows to tell.
    """
    n = len(base.rows)
    if len(tuned.rows) != n:
        raise ValueError(f"{n} rows of base and {len(tuned.rows)} of tuned are not pairs")
    if not n:
        return {"difference": None, "low": None, "high": None, "p": None, "n": 0}
    both = Sums(np.concatenate([base.rows, tuned.rows]), base.combine)

    def difference(index: np.ndarray, axis: int = -1) -> np.ndarray:
        return both.of(index + n) - both.of(index)

    found = {"difference": float(difference(np.arange(n))), "low": None, "high": None, "p": None, "n": n}
    if n > 1:
        found["low"], found["high"] = _reach(difference, n, seed)
        found["p"] = float(
            permutation_test(
                (np.arange(n) + n, np.arange(n)),
                lambda x, y, axis: both.of(x) - both.of(y),
                permutation_type="samples",
                vectorized=True,
                n_resamples=SWAPS,
                batch=_batch(both),
                axis=-1,
                rng=np.random.default_rng(seed),
            ).pvalue
        )
    return found


def passes(base: Sequence[bool], tuned: Sequence[bool], seed: int = 0) -> dict:
    """The same for pass or fail, in percent points; p is McNemar's exact test.

    It looks at the rows that only one of the two models passes, which are counted beside it.
    """
    found = paired(*(mean(100 * np.asarray(values, dtype=float)) for values in (base, tuned)), seed)
    only_base = sum(b and not t for b, t in zip(base, tuned, strict=True))
    only_tuned = sum(t and not b for b, t in zip(base, tuned, strict=True))
    apart = only_base + only_tuned
    p = binomtest(only_tuned, apart).pvalue if apart else 1.0
    return found | {"p": float(p) if found["n"] > 1 else None, "only_base": only_base, "only_tuned": only_tuned}


def holm(p: dict[str, float | None]) -> dict[str, float | None]:
    """Holm's step-down correction: each p for the fact that several were asked. None stays None and is not counted.

    Source: S. Holm, A simple sequentially rejective multiple test procedure, 1979; the same numbers as R's `p.adjust`.
    """
    asked = sorted((value, name) for name, value in p.items() if value is not None)
    corrected, least = dict.fromkeys(p), 0.0
    for place, (value, name) in enumerate(asked):
        least = max(least, min(1.0, (len(asked) - place) * value))
        corrected[name] = least
    return corrected


def words(found: dict, p: float | None, family: int = 1, better: int = 0, name: str = "tuned") -> str:
    """A paired result in a sentence that claims no more than the numbers do.

    Args:
        found: from `paired` or `passes`.
        p: its p, corrected where several scores were asked.
        family: how many scores the correction counted; 1 means none was needed.
        better: 1 where a higher score is better, -1 where a lower one is, 0 where neither is.
        name: the second model.
    """
    if p is None:
        return "too few rows to tell"
    size = f"{found['difference']:+.1f} [{found['low']:.1f}, {found['high']:.1f}]"
    chance = ("p < 0.001" if p < 0.001 else f"p = {p:.3f}") + (f", Holm over {family}" if family > 1 else "")
    if p >= LEVEL:
        return f"inside the noise: {size}, {chance}"
    higher = found["difference"] > 0
    verdict = ("better" if higher == (better > 0) else "worse") if better else "higher" if higher else "lower"
    return f"{name} is {verdict}: {size}, {chance}"


def _reach(statistic: Callable, n: int, seed: int) -> tuple[float, float]:
    def by(method: str) -> tuple[float, float]:
        found = bootstrap(
            (np.arange(n),),
            statistic,
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=max(1, AT_ONCE // (20 * n)),
            method=method,
            rng=np.random.default_rng(seed),
        ).confidence_interval
        return float(found.low), float(found.high)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of rows that are all alike, and the line below handles them
        low, high = by("BCa")
    return (low, high) if np.isfinite([low, high]).all() else by("percentile")


def _batch(sums: Sums) -> int:
    return max(1, AT_ONCE // sums.rows.size)
