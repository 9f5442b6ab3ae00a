"""Four public tools, four numbers called BLEU-4, for the same Chinese answers. Shown in notebook 07."""

import logging
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from sacrebleu.metrics import BLEU

TOOLS = {
    "sacrebleu": "corpus counts, a Chinese character is a word, exponential smoothing",
    "ms-swift": "mean over rows, jieba words, NLTK's smoothing 3",
    "LLaMA-Factory": "mean over rows, characters, NLTK's smoothing 3",
    "EvalScope": "mean over rows, jieba words, 4-grams alone, no smoothing: a precision, not BLEU-4",
}


def four(answers: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """What each tool would print for these answers, 0..100; an empty answer scores 0.

    sacrebleu's is called. The formulas of ms-swift 4.6.0 and EvalScope 1.14.1 are held to the installed packages by a
    test; LLaMA-Factory's is that of its `scripts/eval_bleu_rouge.py`. EvalScope cuts a text without Chinese by NLTK's
    English tokenizer, which needs a download; here jieba cuts that as well.
    """
    import jieba
    from nltk.translate.bleu_score import SmoothingFunction

    jieba.setLogLevel(logging.ERROR)  # it tells stderr about its dictionary
    third = SmoothingFunction().method3
    pairs = list(zip(answers, references, strict=True))
    return {
        "sacrebleu": float(BLEU(tokenize="zh").corpus_score(list(answers), [list(references)]).score) if pairs else 0.0,
        "ms-swift": _mean(pairs, lambda t: [w for w in jieba.cut(t) if w.strip(" ")], smoothing_function=third),
        "LLaMA-Factory": _mean(pairs, list, smoothing_function=third),
        "EvalScope": _mean(pairs, jieba.lcut, weights=(0, 0, 0, 1)),
    }


def _mean(pairs: list[tuple[str, str]], cut: Callable[[str], list[str]], **how) -> float:
    from nltk.translate.bleu_score import sentence_bleu

    def one(answer: list[str], reference: list[str]) -> float:
        return sentence_bleu([reference], answer, **how) if answer else 0.0

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NLTK warns of answers without a common 4-gram, which simply score 0
        scores = [one(cut(answer), cut(reference)) for answer, reference in pairs]
    return 100 * float(np.mean(scores)) if scores else 0.0
