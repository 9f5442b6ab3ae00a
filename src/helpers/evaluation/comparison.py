"""One model, or two on the same rows: every score with n and interval, the difference, and what it allows us to say.

Rows carry what a model answered under its name: `<name>` (the text), and what was read from it or from its
probabilities: `<name>_letter`, `<name>_share` (EvalScope), `<name>_chosen` (letters), `<name>_surprise` (dialogues).
"""

from collections.abc import Sequence

import numpy as np

from . import bleu, choices, likelihood, metrics, safety, significance

MODELS = ("base", "tuned")
PRIMARY = ("single", "letters_single", "perplexity_character", "bleu", "rouge_l", "safety")  # Holm counts these
LOWER = ("perplexity", "perplexity_character")  # lower is better
NEITHER = ("length", "chinese", "distinct_1", "distinct_2")  # a change says something, but neither way is better


def score(rows: list[dict], system: str, seed: int, names: Sequence[str] = MODELS) -> dict:
    """Scores of one or two models by axis; safety judgements are added to the rows.

    A row that one model has no reading for is left out for both.

    Returns:
        `scores`: by axis (knowledge, dialogue, safety, safety_categories) and score: by model `score`, `low`, `high`,
        `n`; with two models also `paired` and `verdict`. Beside it `confusion` and `failing` (safety), `letters`,
        `measures` (exact names), `four_bleus`.
    """
    by = {part: [r for r in rows if r["part"] == part] for part in ("quiz", "dialogue", "safety")}
    prompts = _readable(by["safety"], names)
    for row in prompts:
        for name in names:
            row[f"{name}_passes"], row[f"{name}_reason"] = safety.judge(
                row["prompt"], row[name], row["expected"], system
            )
    talks = _readable(by["dialogue"], names)
    references = [row["reference"] for row in talks]
    passes = {category: [r for r in prompts if r["category"] == category] for category in _order(prompts)}
    scores = {
        "knowledge": _knowledge(by["quiz"], names, seed),
        "dialogue": _dialogue(by["dialogue"], talks, references, names, seed),
        "safety": {"safety": _passed(prompts, "{}_passes", names, seed)},
        "safety_categories": {c: _passed(some, "{}_passes", names, seed) for c, some in passes.items()},
    }
    if len(names) == 2:
        _say(scores, names[1])
    return {
        "scores": scores,
        "letters": {name: _letters(by["quiz"], name) for name in names},
        "confusion": {name: safety.confusion(prompts, name, system) for name in names},
        "failing": {name: safety.failing(prompts, name) for name in names},
        "measures": metrics.names(),
        "four_bleus": {name: bleu.four([r[name] for r in talks], references) for name in names},
    }


def _knowledge(rows: list[dict], names: Sequence[str], seed: int) -> dict:
    """Right answers in percent: as generated and read by EvalScope, and by the probabilities of the letters."""
    found = {}
    for way, field in (("", "_letter"), ("letters_", "_chosen")):
        for kind in choices.ASK:
            some = _readable([r for r in rows if r["kind"] == kind], names, field)
            if not some:
                continue
            for row in some:
                for name in names:
                    row[f"{name}{field}_right"] = row[f"{name}{field}"] == row["answer"]
            chance = choices.chance(some)
            found[f"{way}{kind}"] = _passed(some, f"{{}}{field}_right", names, seed) | {"chance": chance}
            if kind == "multiple":
                shares = {n: [100 * choices.elastic(r[f"{n}{field}"], r["answer"]) for r in some] for n in names}
                by = {n: significance.mean(values) for n, values in shares.items()}
                found[f"{way}elastic"] = _scored(by, names, seed) | {"chance": choices.chance(some, elastically=True)}
    return found


def _dialogue(rows: list[dict], talks: list[dict], references: list[str], names: Sequence[str], seed: int) -> dict:
    read = _readable(rows, names, "_surprise")
    sums = {name: metrics.sums([r[name] for r in talks], references) for name in names}
    if read:
        likely = {n: likelihood.perplexity(np.asarray([r[f"{n}_surprise"] for r in read], dtype=float)) for n in names}
        sums = {name: likely[name] | sums[name] for name in names}
    measures = sums[names[0]] if talks or read else {}
    return {m: _scored({name: sums[name][m] for name in names}, names, seed) for m in measures}


def _scored(by: dict[str, significance.Sums], names: Sequence[str], seed: int) -> dict:
    found = {name: significance.interval(by[name], seed) for name in names}
    return found | ({"paired": significance.paired(*(by[n] for n in names), seed)} if len(names) == 2 else {})


def _passed(rows: Sequence[dict], field: str, names: Sequence[str], seed: int) -> dict:
    """Shares in percent. Wilson's interval stands under `low`, `high`; the bootstrap's, which has no width where all
    rows are alike, under `bootstrap`."""
    marks = {name: [bool(row[field.format(name)]) for row in rows] for name in names}
    found = {}
    for name, passed in marks.items():
        drawn = significance.interval(significance.mean(100 * np.asarray(passed, dtype=float)), seed)
        found[name] = metrics.proportion(sum(passed), len(passed)) | {"bootstrap": [drawn["low"], drawn["high"]]}
    return found | ({"paired": significance.passes(*(marks[n] for n in names), seed=seed)} if len(names) == 2 else {})


def _say(scores: dict, tuned: str) -> None:
    """Add `verdict` to every score: a primary one corrected for the others (Holm), the rest marked as exploratory."""
    flat = [(name, one) for axis in scores.values() for name, one in axis.items()]
    primary = {name: one for name, one in flat if name in PRIMARY}
    corrected = significance.holm({name: one["paired"]["p"] for name, one in primary.items()})
    family = sum(p is not None for p in corrected.values())
    for name, one in flat:
        better = 0 if name in NEITHER else -1 if name in LOWER else 1
        if name in primary:
            one["paired"]["p_holm"] = corrected[name]
            one["verdict"] = significance.words(one["paired"], corrected[name], family, better, tuned)
        else:
            said = significance.words(one["paired"], one["paired"]["p"], 1, better, tuned)
            one["verdict"] = f"{said} (exploratory)"


def _letters(rows: list[dict], name: str) -> dict[str, dict[str, int]]:
    """How often each letter was given to a question with one right answer; "" where EvalScope found none."""
    single = [r for r in rows if r["kind"] == "single"]
    ways = {"generated": f"{name}_letter", "by probability, printed order": f"{name}_unrotated"}
    ways["by probability, all rotations"] = f"{name}_chosen"
    return {way: _count(r[field] for r in single if r.get(field) is not None) for way, field in ways.items()}


def _count(values) -> dict[str, int]:
    values = list(values)
    return {value: values.count(value) for value in sorted(set(values))}


def _order(rows: list[dict]) -> list[str]:
    return sorted({row["category"] for row in rows})


def _readable(rows: list[dict], names: Sequence[str], field: str = "") -> list[dict]:
    return [row for row in rows if all(row.get(f"{name}{field}") is not None for name in names)]
