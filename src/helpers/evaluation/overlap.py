"""Overlap of two texts in characters and in words: ROUGE-1, ROUGE-2, ROUGE-L, and how often a text repeats itself."""

import logging
from functools import lru_cache

ROUGES = ("rouge_1", "rouge_2", "rouge_l")


def characters(text: str) -> list[str]:
    """The characters of a text without blanks."""
    return list("".join(text.split()))


@lru_cache(maxsize=4096)
def words(text: str) -> tuple[str, ...]:
    """The words of a text as jieba cuts it, without blanks."""
    import jieba

    jieba.setLogLevel(logging.ERROR)  # it tells stderr about its dictionary
    return tuple(w for w in jieba.cut(text) if w.strip())


def rouge(answer: list[str], reference: list[str]) -> dict[str, float]:
    """ROUGE F1 of two token lists in percent; an n-gram counts as often as both texts hold it.

    ROUGE-L is the longest common subsequence of the whole text, not sentence by sentence. Precision and recall come
    from the package rouge-chinese; F1 is taken from them here, because the package adds 1e-8 to its denominator.

    Returns:
        `rouge_1`, `rouge_2`, `rouge_l`; 0 where a text is too short to hold such an n-gram.
    """
    from rouge_chinese import rouge_score

    if not answer or not reference:
        return dict.fromkeys(ROUGES, 0.0)
    # Tokens are numbered, because the package splits texts at blanks.
    number = {token: str(i) for i, token in enumerate(dict.fromkeys([*answer, *reference]))}
    pair = [[" ".join(number[t] for t in tokens)] for tokens in (answer, reference)]
    found = {
        "rouge_1": rouge_score.rouge_n(*pair, n=1, exclusive=False),
        "rouge_2": rouge_score.rouge_n(*pair, n=2, exclusive=False),
        "rouge_l": rouge_score.rouge_l_summary_level(*pair),
    }
    return {name: 100 * _f1(f["p"], f["r"]) for name, f in found.items()}


def distinct(texts: list[str], n: int) -> float:
    """Distinct character n-grams divided by all of them, over all texts together, in percent (after Li et al. 2016).

    The paper counts words, and divides by the words for pairs too. The share falls as the texts grow, because common
    n-grams come again: compare only texts of one size. `metrics.sums` gives one answer at a time.
    """
    grams = [gram for text in texts for gram in _grams(characters(text), n)]
    return 100 * len(set(grams)) / len(grams) if grams else 0.0


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _grams(tokens: list[str], n: int) -> list[tuple[str, ...]]:
    return list(zip(*(tokens[i:] for i in range(n)), strict=False))
