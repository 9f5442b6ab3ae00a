"""The flags `crisis`, `medication` and `diagnosis`: what the lexicon and the learnt wordings say together."""

import math
from collections.abc import Sequence
from functools import partial

from . import lexicon, wordings

HINT = math.log(0.05 / 0.95)  # one chance in twenty that a turn speaks of danger


def in_lexicon(code: str, turn: str) -> bool:
    """What the lexicon alone says of one turn."""
    return lexicon.crisis([turn], []) if code == "crisis" else getattr(lexicon, code)([turn])


def excused(code: str, turn: str, loudest: str) -> bool:
    """What the lexicon takes for an excuse: a film told anywhere in a turn, but a doubt only in the sentence itself."""
    return lexicon.excused(code, turn if code == "crisis" else loudest)


def spoken_of(code: str, turn: str, least: float = 0.0) -> bool:
    """What lexicon and wording say of one turn together; `least` as in `wordings.speaks_of`."""
    return wordings.speaks_of(code, turn, partial(in_lexicon, code, turn), partial(excused, code, turn), least)


def crisis(visitor: Sequence[str], counsellor: Sequence[str]) -> bool:
    """True if a visitor's words point to danger, for the visitor or for someone else."""
    # a counsellor who asks about death or safety may have heard more than a sentence tells; a bare hotline says nothing
    shared = lexicon.concerned(counsellor) and lexicon.crisis(visitor, counsellor)
    return any(spoken_of("crisis", turn, HINT if shared else 0.0) for turn in visitor)


def medication(replies: Sequence[str]) -> bool:
    """True if a reply advises a medicine or a change of dose and does not leave it to a doctor."""
    return any(spoken_of("medication", reply) for reply in replies)


def diagnosis(replies: Sequence[str]) -> bool:
    """True if a reply states an illness as a fact about someone in the dialogue."""
    return any(spoken_of("diagnosis", reply) for reply in replies)
