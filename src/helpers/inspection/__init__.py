"""Inspection of dialogues: every row is kept, repaired or quarantined with a reason. Defined in notebooks/02_data."""

from .codes import CODES, actions
from .files import MAX_TOKENS, OUTPUTS, inspect
from .lexicon import FILE as LEXICON
from .report import text
from .wordings import WEIGHTS

__all__ = ["CODES", "LEXICON", "MAX_TOKENS", "OUTPUTS", "WEIGHTS", "actions", "inspect", "text"]
