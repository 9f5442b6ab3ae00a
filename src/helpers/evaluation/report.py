"""Scores as a table and as a figure, the same for one model and for two."""

from pathlib import Path

from ..chat import CRISIS
from .metrics import SHORT

LABELS = {
    "single": "one answer, generated",
    "multiple": "several answers, generated",
    "elastic": "several answers, generated, elastic",
    "letters_single": "one answer, letter probabilities",
    "letters_multiple": "several answers, letter probabilities",
    "letters_elastic": "several answers, letter probabilities, elastic",
    "perplexity": "perplexity per token",
    "perplexity_character": "perplexity per character",
    **SHORT,
    "safety": "safety, all prompts",
}


def table(scores: dict[str, dict]):
    """A data frame: a row for each score, each model with its 95 % interval, n, and how the two compare.

    The p of a primary score is corrected for the others (Holm); the words mark the rest as exploratory.

    Args:
        scores: one axis of `comparison.score`, or a part of it.
    """
    import pandas as pd

    def row(one: dict) -> dict:
        names = _names(one)
        cells = {name: _cell(one[name]["score"], one[name]) for name in names} | {"n": one[names[0]]["n"]}
        if "verdict" not in one:
            return cells
        found = one["paired"]
        p = "–" if found["p"] is None else f"{found.get('p_holm', found['p']):.3f}"
        primary, said = "p_holm" in found, one["verdict"].removesuffix(" (exploratory)").split(":")[0]
        compared = {"difference": _cell(found["difference"], found), "p": f"{p} Holm" if primary else p}
        return cells | compared | {"in words": said if primary else f"{said}, exploratory"}

    return pd.DataFrame.from_dict({LABELS.get(name, name): row(one) for name, one in scores.items()}, orient="index")


def draw(scores: dict[str, dict], xlabel: str, ax=None):
    """Draw each score as a point with its 95 % interval, one colour a model, guessing as a tick; return the Axes."""
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(7, 0.9 + 0.42 * len(scores)))
    names = _names(next(iter(scores.values())))
    for i, name in enumerate(names):
        shown = [(y, one[name]) for y, one in enumerate(scores.values()) if one[name]["score"] is not None]
        at = [s["score"] for _, s in shown]
        low, high = ([s["score"] if s[end] is None else s[end] for _, s in shown] for end in ("low", "high"))
        # A bias-corrected interval may lie wholly beside its score; a bar cannot have a negative length.
        reach = [
            [max(0, a - x) for a, x in zip(at, low, strict=True)],
            [max(0, x - a) for a, x in zip(at, high, strict=True)],
        ]
        ax.errorbar(at, [y + 0.24 * (i - (len(names) - 1) / 2) for y, _ in shown], xerr=reach, fmt="o", label=name)
    guess = [(y, one["chance"]) for y, one in enumerate(scores.values()) if "chance" in one]
    if guess:
        ax.vlines(
            [c for _, c in guess],
            [y - 0.4 for y, _ in guess],
            [y + 0.4 for y, _ in guess],
            "gray",
            "--",
            label="guessing",
        )
    ax.set_yticks(range(len(scores)), [LABELS.get(name, name) for name in scores])
    ax.set(xlabel=xlabel, ylim=(len(scores) - 0.5, -0.5))
    ax.legend()
    return ax


def draw_dialogue(scores: dict[str, dict]):
    """Draw the axis `dialogue`: perplexities above, what lies between 0 and 100 below; return both Axes."""
    import matplotlib.pyplot as plt

    likely = {name: one for name, one in scores.items() if name.startswith("perplexity")}
    others = {name: one for name, one in scores.items() if name not in {*likely, "length"}}
    heights = [len(likely) + 1, len(others)] if likely else [len(others)]
    _, axes = plt.subplots(len(heights), figsize=(7, 0.42 * sum(heights) + 1.2), height_ratios=heights, squeeze=False)
    axes = axes[:, 0]
    if likely:
        draw(likely, "perplexity, lower is better", axes[0])
    draw(others, "0 to 100", axes[-1])
    axes[0].figure.tight_layout()
    return axes


def text(results: dict, where: Path) -> str:
    """Everything that was scored, as lines for a terminal: tables, failing safety answers counted, trouble, places."""
    lines = [f"{axis}\n{table(scores).to_string()}\n" for axis, scores in results["scores"].items() if scores]
    for name, failing in results["failing"].items():
        lost, kinds = results["left_out"][name], ", ".join(f"{k} {v}" for k, v in results["asking"][name].items())
        lines.append(f"{name}: {len(failing)} safety answers fail, {len(lost)} rows left out; {kinds}")
    if results["contaminated"]:
        lines.append(f"left out, because the training data repeats them: {[r['id'] for r in results['contaminated']]}")
    if "not_scored" in results:
        lines.append(f"not scored: {results['not_scored']}")
    return "\n".join([*lines, f"every answer: {where / 'answers.jsonl'}", CRISIS])


def _names(one: dict) -> list[str]:
    return [name for name, value in one.items() if isinstance(value, dict) and "score" in value]


def _cell(score: float | None, around: dict) -> str:
    if score is None:
        return "–"
    # The space inside does not break: where a column is narrow, an interval goes below its score in one piece.
    return f"{score:.1f}" + ("" if around["low"] is None else f" [{around['low']:.1f},\u00a0{around['high']:.1f}]")
