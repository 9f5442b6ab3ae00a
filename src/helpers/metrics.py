"""Scores of texts and of proportions, each with n and a 95 % interval."""

from collections.abc import Callable, Sequence

import numpy as np
from sacrebleu.metrics import BLEU, CHRF
from scipy.stats import binomtest

RESAMPLES = 300  # of the rows, for one bootstrap interval
SHORT = {"bleu": "BLEU", "chrf": "chrF", "rouge_l": "ROUGE-L", "chinese": "Chinese, %", "length": "length ratio"}


def proportion(passed: int, n: int) -> dict:
    """A share in percent with its Wilson interval, which stays inside 0..100 and is honest for small n.

    Returns:
        `score`, `low`, `high` in percent (None when n is 0), `passed`, `n`.
    """
    if not n:
        return {"score": None, "low": None, "high": None, "passed": 0, "n": 0}
    low, high = binomtest(passed, n).proportion_ci(0.95, method="wilson")
    return {"score": 100 * passed / n, "low": 100 * low, "high": 100 * high, "passed": passed, "n": n}


def similarity(answers: Sequence[str], references: Sequence[str], seed: int = 0) -> dict[str, dict]:
    """How near answers are to references, by four public measures; the interval is a bootstrap over rows.

    - `bleu`: sacrebleu's corpus BLEU with the `zh` tokenizer (a Chinese character is a word), 0..100. Other tools
      call other formulas BLEU; `names()` gives the exact signature.
    - `chrf`: sacrebleu's chrF2 (character 1- to 6-grams), 0..100.
    - `rouge_l`: ROUGE-L F1 by character (package rouge-chinese), mean over rows, 0..100.
    - `chinese`: Chinese characters among letters, digits and Chinese characters, mean over rows, in percent.
    - `length`: characters of all answers divided by characters of all references; 1 is the same length.

    An empty answer scores 0 in each. Returns `score`, `low`, `high`, `n` for each.
    """
    bleu, chrf = BLEU(tokenize="zh"), CHRF()
    measures = {
        "bleu": lambda a, r: float(bleu.corpus_score(a, [r]).score),
        "chrf": lambda a, r: float(chrf.corpus_score(a, [r]).score),
        "rouge_l": _mean_of(rouge_l),
        "chinese": _mean_of(lambda a, r: 100 * chinese_share(a)),
        "length": lambda a, r: sum(map(len, a)) / max(1, sum(map(len, r))),
    }
    return {name: _bootstrap(measure, list(answers), list(references), seed) for name, measure in measures.items()}


def names() -> dict[str, str]:
    """The exact name of each text measure, to be printed beside its number."""
    return {
        "bleu": f"corpus BLEU-4, sacrebleu {_signature(BLEU(tokenize='zh'))}",
        "chrf": f"chrF2, sacrebleu {_signature(CHRF())}",
        "rouge_l": "ROUGE-L F1 by character, rouge-chinese, mean over rows",
        "chinese": "share of Chinese characters, mean over rows, %",
        "length": "length of answers / length of references",
    }


def rouge_l(answer: str, reference: str) -> float:
    """ROUGE-L F1 by character in percent; spaces do not count; 0 when either is empty."""
    from rouge_chinese import Rouge

    if not answer.split() or not reference.split():
        return 0.0
    pair = (" ".join("".join(text.split())) for text in (answer, reference))
    # The package adds 1e-8 to a denominator, so identical texts give 0.999999995.
    return round(100 * Rouge(metrics=["rouge-l"]).get_scores(*pair)[0]["rouge-l"]["f"], 6)


def chinese_share(text: str) -> float:
    """Chinese characters among all letters, digits and Chinese characters, 0..1; 0 for a text without any."""
    words = [c for c in text if c.isalnum()]
    return sum("\u4e00" <= c <= "\u9fff" for c in words) / len(words) if words else 0.0


def verdict(base: dict, tuned: dict) -> str:
    """What two scores with intervals allow us to say, in words."""
    if base["low"] is None or tuned["low"] is None:
        return "too few rows for an interval"
    if base["low"] <= tuned["high"] and tuned["low"] <= base["high"]:
        return "the intervals overlap: this sample shows no difference"
    return f"tuned is {'higher' if tuned['low'] > base['high'] else 'lower'}, the intervals are apart"


def _mean_of(measure: Callable[[str, str], float]) -> Callable[[list[str], list[str]], float]:
    known = {}  # the bootstrap meets the same pairs again and again

    def mean(answers: list[str], references: list[str]) -> float:
        for pair in set(zip(answers, references, strict=True)) - known.keys():
            known[pair] = measure(*pair)
        return float(np.mean([known[pair] for pair in zip(answers, references, strict=True)]))

    return mean


def _bootstrap(measure: Callable, answers: list[str], references: list[str], seed: int) -> dict:
    n = len(answers)
    if not n:
        return {"score": None, "low": None, "high": None, "n": 0}
    score, low, high = measure(answers, references), None, None
    if n > 1:
        drawn = np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
        scores = [measure([answers[i] for i in rows], [references[i] for i in rows]) for rows in drawn]
        low, high = (float(x) for x in np.percentile(scores, [2.5, 97.5]))
    return {"score": score, "low": low, "high": high, "n": n}


def _signature(metric: BLEU | CHRF) -> str:
    metric.corpus_score(["一"], [["一"]])  # the signature counts references, which it learns from a first use
    return str(metric.get_signature())
