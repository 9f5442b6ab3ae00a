"""Whether a turn speaks of danger, of a medicine or of an illness, read from its wording.

A lexicon knows the words that its authors thought of. This linear model has learnt from labelled turns of many authors
which characters, pairs and triples go with each flag, and how far to trust the lexicon. `learning` makes its weights.
"""

import json
import math
import re
from functools import cache, lru_cache

from ..profile import ROOT

FOLDER = ROOT / "data" / "wordings"
WEIGHTS = FOLDER / "weights.json"
SENTENCE = re.compile(r"[^。！？!?；;\n]+[。！？!?；;\n]*")
_BLANK = re.compile(r"\s+")
LONGEST = 3  # characters of a piece


@lru_cache(maxsize=256)  # two flags look at the same replies, one after the other
def pieces(text: str) -> frozenset[str]:
    """Its characters, pairs and triples, with a mark at both ends; blanks and case do not count."""
    text = f"^{_BLANK.sub('', text.lower())}$"
    return frozenset(text[i : i + n] for n in range(1, LONGEST + 1) for i in range(len(text) - n + 1))


def sentences(turn: str) -> list[str]:
    """The sentences of a turn that hold a letter; the turn itself, if none does."""
    return [s for s in SENTENCE.findall(turn) if re.search(r"\w", s)] or [turn]


@cache
def weights() -> dict[str, dict]:
    """For each code: `pieces` with their weights, `bias`, and `together`, the weights of `evidence`."""
    return json.loads(WEIGHTS.read_text(encoding="utf-8"))["codes"]


def evidence(turn: str, in_lexicon: bool, excused: bool, learnt: dict) -> list[float]:
    """The strongest sentence and the whole turn, as log-odds of the flag; the lexicon and its excuses, as 0 or 1."""
    parts = sentences(turn)
    each = [_log_odds(part, learnt) for part in parts]
    whole = each[0] if len(parts) == 1 else _log_odds(turn, learnt)
    return [max(each), whole, float(in_lexicon), float(excused)]


def _log_odds(text: str, learnt: dict) -> float:
    found, known = pieces(text), learnt["pieces"]
    # a long text has more pieces, most of them beside the point
    return learnt["bias"] + sum(known[p] for p in known.keys() & found) / math.sqrt(len(found))


def speaks_of(code: str, turn: str, in_lexicon: bool, excused: bool, least: float = 0.0) -> bool:
    """True if the turn deserves the flag, by its wording and by what the lexicon says of it.

    Args:
        in_lexicon: a sign of the lexicon stands in the turn.
        excused: so does something that it takes for an excuse.
        least: log-odds from which on the flag is deserved; 0 is even odds.
    """
    learnt = weights()[code]
    found = zip(learnt["together"], evidence(turn, in_lexicon, excused, learnt), strict=True)
    return learnt["together_bias"] + sum(weight * each for weight, each in found) > least
