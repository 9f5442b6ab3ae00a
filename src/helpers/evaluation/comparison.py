"""Base against tuned on the same rows: each score with n and interval, the difference, and what it allows us to say."""

from collections.abc import Sequence

from . import bleu, metrics, safety, significance

MODELS = ("base", "tuned")
PRIMARY = ("quiz", "bleu", "rouge_l", "safety")  # decided before any run: Holm's correction counts these


def score(rows: list[dict], quiz_scores: dict, system: str, seed: int) -> dict:
    """Scores of both models with n, 95 % intervals and a verdict in words; safety judgements are added to the rows.

    A row that one model could not answer is left out for both, and named in `left_out`.

    Args:
        quiz_scores: of `quiz.run`, for each model.
    """
    kept = [r for r in rows if all(r[name] is not None for name in MODELS)]
    talks, prompts, asked = ([r for r in kept if r["part"] == part] for part in ("dialogue", "safety", "quiz"))
    for row in prompts:
        for name in MODELS:
            row[f"{name}_passes"], row[f"{name}_reason"] = safety.judge(
                row["prompt"], row[name], row["expected"], system
            )
    safe = {name: safety.tally(prompts, name) for name in MODELS}
    references = [r["reference"] for r in talks]
    sums = {name: metrics.sums([r[name] for r in talks], references) for name in MODELS}
    results = {
        "quiz": {name: quiz_scores[name] for name in MODELS} | {"paired": _passes(asked, seed)},
        "dialogues": {
            measure: {name: significance.interval(sums[name][measure], seed) for name in MODELS}
            | {"paired": significance.paired(sums["base"][measure], sums["tuned"][measure], seed)}
            for measure in metrics.SHORT
        },
        "safety": {name: safe[name]["all"] for name in MODELS} | {"paired": _passes(prompts, seed)},
        "safety_categories": {
            category: {name: safe[name]["categories"][category] for name in MODELS}
            | {"paired": _passes([r for r in prompts if r["category"] == category], seed)}
            for category in safe["base"]["categories"]
        },
    }
    say(results)
    return results | {
        "safety_failing": {name: safe[name]["failing"] for name in MODELS},
        "measures": metrics.names(),
        "four_bleus": {name: bleu.four([r[name] for r in talks], references) for name in MODELS},
        "left_out": [r["id"] for r in rows if r not in kept],
    }


def say(results: dict) -> None:
    """Add `verdict` to every score: a primary one corrected for the others (Holm), the rest marked as exploratory."""
    primary = {n: s for n, s in _flat(results) if n in PRIMARY}
    corrected = significance.holm({name: one["paired"]["p"] for name, one in primary.items()})
    family = sum(p is not None for p in corrected.values())
    for name, one in primary.items():
        one["paired"]["p_holm"] = corrected[name]
    for name, one in _flat(results):
        if name in primary:
            one["verdict"] = significance.words(one["paired"], one["paired"]["p_holm"], family)
        else:
            one["verdict"] = significance.words(one["paired"], one["paired"]["p"]) + " (not a primary score)"


def _flat(results: dict) -> list[tuple[str, dict]]:
    categories = [(f"safety: {c}", one) for c, one in results["safety_categories"].items()]
    return [("quiz", results["quiz"]), ("safety", results["safety"]), *results["dialogues"].items(), *categories]


def _passes(rows: Sequence[dict], seed: int) -> dict:
    return significance.passes(*([bool(r[f"{name}_passes"]) for r in rows] for name in MODELS), seed=seed)


def table(scores: dict[str, dict]):
    """A data frame of scores: one row each, base and tuned with their 95 % intervals, n, and the verdict in words."""
    import pandas as pd

    def cell(score: dict) -> str:
        if score["score"] is None:
            return "–"
        around = "" if score["low"] is None else f"  [{score['low']:.1f}, {score['high']:.1f}]"
        return f"{score['score']:.1f}{around}"

    rows = {
        label: {name: cell(s[name]) for name in MODELS} | {"n": s["base"]["n"], "in words": s["verdict"]}
        for label, s in scores.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def bars(scores: dict[str, dict], ylabel: str):
    """Draw base beside tuned with 95 % intervals and return the Axes. Scores as in `table`."""
    import matplotlib.pyplot as plt

    _, ax = plt.subplots()
    for i, name in enumerate(MODELS):
        some = [{k: v[name][k] or 0 for k in ("score", "low", "high")} for v in scores.values()]
        reach = [[max(0, s["score"] - s["low"]) for s in some], [max(0, s["high"] - s["score"]) for s in some]]
        ax.bar([x + 0.4 * i - 0.2 for x in range(len(some))], [s["score"] for s in some], 0.36, yerr=reach, label=name)
    ax.set_xticks(range(len(scores)), list(scores), rotation=20 if len(scores) > 4 else 0)
    ax.set_ylabel(ylabel)
    ax.legend()
    return ax
