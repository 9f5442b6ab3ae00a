"""Inspection of dialogues: every row is kept, repaired or quarantined with a reason. Introduced in notebooks/02_data."""

from .codes import CODES, actions
from .files import OUTPUTS, inspect

__all__ = ["CODES", "OUTPUTS", "actions", "inspect"]
