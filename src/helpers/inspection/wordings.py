"""Whether a turn speaks of danger, of a medicine or of an illness, read from its wording.

A lexicon knows the words that its authors thought of. This linear model has learnt from labelled turns of many authors
which characters, pairs and triples go with each flag, and how far to trust the lexicon. `learning` makes its weights.
"""

import json
import math
import re
from collections.abc import Callable
from functools import cache, lru_cache
from operator import add

from ..profile import ROOT
from .lexicon import SENTENCE

FOLDER = ROOT / "data" / "wordings"
WEIGHTS = FOLDER / "weights.json"
_BLANK = re.compile(r"\s+")


@lru_cache(maxsize=256)  # two flags look at the same replies, one after the other
def pieces(text: str) -> frozenset[str]:
    """Its characters, pairs and triples, with a mark at both ends; blanks and case do not count."""
    text = f"^{_BLANK.sub('', text.lower())}$"
    pairs = list(map(add, text, text[1:]))
    return frozenset(text).union(pairs, map(add, pairs, text[2:]))


def sentences(turn: str) -> list[str]:
    """The sentences of a turn that hold a letter; the turn itself, if none does."""
    return [s for s in SENTENCE.findall(turn) if re.search(r"\w", s)] or [turn]


@cache
def weights() -> dict[str, dict]:
    """For each code: `pieces` with weights, `bias`, and `together`, the weights of `evidence`, sign and excuse."""
    return json.loads(WEIGHTS.read_text(encoding="utf-8"))["codes"]


def evidence(turn: str, learnt: dict) -> tuple[str, list[float]]:
    """The sentence that speaks loudest for the flag, and what it and the whole turn say, as log-odds."""
    parts = sentences(turn)
    each = [_log_odds(part, learnt) for part in parts]
    loudest = max(range(len(parts)), key=each.__getitem__)
    return parts[loudest], [each[loudest], each[0] if len(parts) == 1 else _log_odds(turn, learnt)]


def _log_odds(text: str, learnt: dict) -> float:
    found, known = pieces(text), learnt["pieces"]
    # a long text has more pieces, most of them beside the point
    return learnt["bias"] + sum(known[p] for p in known.keys() & found) / math.sqrt(len(found))


def speaks_of(
    code: str, turn: str, in_lexicon: Callable[[], bool], excused: Callable[[str], bool], least: float = 0.0
) -> bool:
    """True if the turn deserves the flag, by its wording and by what the lexicon says of it.

    Args:
        in_lexicon: whether a sign of the lexicon stands in the turn.
        excused: whether something does that the lexicon takes for an excuse, given the loudest sentence.
        least: log-odds from which on the flag is deserved; 0 is even odds.
    """
    learnt = weights()[code]
    *wording, sign, excuse = learnt["together"]
    loudest, found = evidence(turn, learnt)
    odds = learnt["together_bias"] + sum(w * e for w, e in zip(wording, found, strict=True))
    # the lexicon is slow: it is asked only where its answer can change the verdict
    if odds + sign <= least:
        return False
    odds += sign * in_lexicon()
    if odds <= least:
        return False
    return odds + excuse > least or not excused(loudest)
