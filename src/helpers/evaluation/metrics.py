"""Scores of texts and of proportions, each with n and a 95 % interval."""

from collections.abc import Sequence

import numpy as np
from sacrebleu.metrics import BLEU, CHRF
from scipy.stats import binomtest

from . import overlap
from .significance import Sums, interval, mean, ratio

SHORT = {
    "bleu": "BLEU",
    "chrf": "chrF",
    "rouge_1": "ROUGE-1",
    "rouge_2": "ROUGE-2",
    "rouge_l": "ROUGE-L",
    "rouge_1_words": "ROUGE-1, words",
    "rouge_2_words": "ROUGE-2, words",
    "rouge_l_words": "ROUGE-L, words",
    "distinct_1": "distinct-1, %",
    "distinct_2": "distinct-2, %",
    "chinese": "Chinese, %",
    "length": "length ratio",
}


def proportion(passed: int, n: int) -> dict:
    """A share in percent with its Wilson interval, which stays inside 0..100 and is honest for small n.

    Returns:
        `score`, `low`, `high` in percent (None when n is 0), `passed`, `n`.
    """
    if not n:
        return {"score": None, "low": None, "high": None, "passed": 0, "n": 0}
    low, high = binomtest(passed, n).proportion_ci(0.95, method="wilson")
    return {"score": 100 * passed / n, "low": 100 * low, "high": 100 * high, "passed": passed, "n": n}


def sums(answers: Sequence[str], references: Sequence[str]) -> dict[str, Sums]:
    """How near answers are to references, by public measures, each as sums over rows (see `significance`).

    - `bleu`: sacrebleu's corpus BLEU with the `zh` tokenizer (a Chinese character is a word), 0..100. Other tools
      call other formulas BLEU (`bleu.four`); `names()` gives the exact signature.
    - `chrf`: sacrebleu's chrF2 (character 1- to 6-grams), 0..100.
    - `rouge_1`, `rouge_2`, `rouge_l`: ROUGE F1 by character, mean over rows, 0..100; with `_words` by jieba word.
    - `distinct_1`, `distinct_2`: share of distinct character n-grams in an answer, mean over rows, %; a loop is low.
    - `chinese`: Chinese characters among letters, digits and Chinese characters, mean over rows, in percent.
    - `length`: characters of all answers divided by characters of all references; 1 is the same length.

    An empty answer scores 0 in each.
    """
    pairs = list(zip(answers, references, strict=True))
    by = {"": overlap.characters, "_words": overlap.words}
    rouge = {end: [overlap.rouge(list(cut(a)), list(cut(r))) for a, r in pairs] for end, cut in by.items()}
    return {
        "bleu": _sacrebleu(BLEU(tokenize="zh"), answers, references),
        "chrf": _sacrebleu(CHRF(), answers, references),
        **{f"{name}{end}": mean([row[name] for row in rouge[end]]) for end in by for name in overlap.ROUGES},
        **{f"distinct_{n}": mean([overlap.distinct([a], n) for a in answers]) for n in (1, 2)},
        "chinese": mean([100 * chinese_share(a) for a in answers]),
        "length": ratio([len(a) for a in answers], [len(r) for r in references]),
    }


def similarity(answers: Sequence[str], references: Sequence[str], seed: int = 0) -> dict[str, dict]:
    """The scores of `sums` with their bootstrap intervals: `score`, `low`, `high`, `n` for each."""
    return {name: interval(one, seed) for name, one in sums(answers, references).items()}


def names() -> dict[str, str]:
    """The exact name of each text measure, to be printed beside its number."""
    rouge = {f"rouge_{n}": f"ROUGE-{n.upper()} F1 by character, rouge-chinese, mean over rows" for n in ("1", "2", "l")}
    return {
        "bleu": f"corpus BLEU-4, sacrebleu {_signature(BLEU(tokenize='zh'))}",
        "chrf": f"chrF2, sacrebleu {_signature(CHRF())}",
        **rouge,
        **{f"{name}_words": text.replace("character", "jieba word") for name, text in rouge.items()},
        "distinct_1": "share of distinct characters within an answer, mean over rows, %",
        "distinct_2": "share of distinct character pairs within an answer, mean over rows, %",
        "chinese": "share of Chinese characters, mean over rows, %",
        "length": "length of answers / length of references",
    }


def chinese_share(text: str) -> float:
    """Chinese characters among all letters, digits and Chinese characters, 0..1; 0 for a text without any."""
    words = [c for c in text if c.isalnum()]
    return sum("\u4e00" <= c <= "\u9fff" for c in words) / len(words) if words else 0.0


def _sacrebleu(metric: BLEU | CHRF, answers: Sequence[str], references: Sequence[str]) -> Sums:
    # sacrebleu's own significance tests use these two methods, and they have no public name.
    rows = metric._extract_corpus_statistics(list(answers), [list(references)]) if answers else []

    def combine(totals: np.ndarray) -> np.ndarray:
        def one(row: np.ndarray) -> float:
            return metric._compute_score_from_stats(row.astype(int).tolist()).score

        return np.apply_along_axis(one, -1, totals)

    return Sums(np.asarray(rows, dtype=float), combine)


def _signature(metric: BLEU | CHRF) -> str:
    metric.corpus_score(["一"], [["一"]])  # the signature counts references, which it learns from a first use
    return str(metric.get_signature())
