"""Inspection of dialogues: every row is kept, repaired or quarantined with a reason. Defined in notebooks/02_data."""

from .codes import CODES, actions
from .files import MAX_TOKENS, OUTPUTS, inspect
from .report import text

__all__ = ["CODES", "MAX_TOKENS", "OUTPUTS", "actions", "inspect", "text"]
