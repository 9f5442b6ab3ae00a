"""Memory of a fine-tuning step: traced on any machine, measured where there is a GPU. The verb `vram`.

In reading order: `recipe` and `check` (what is asked), `cards`, `model`, `kernels`, `step` (what runs), `tracker` and
`trace` (what is counted), `estimate` (the same in a second), `allocator` (what the driver sees), `formula` (the same
at once), `fits`, `serving`, `hours`, `measure`, `published` and `peers` (how good it is). Importing this package does not import torch.
"""

from importlib import import_module

from .allocator import reserved
from .cards import CARDS, Card, RecipeError, find_card
from .recipe import Memory, Recipe, from_settings, of_profile, read_config

LATE = {"trace_step": "trace", "estimate_step": "estimate", "fit_tokens": "fitting"}  # these import torch

__all__ = [
    *("Recipe", "RecipeError", "Memory", "Card", "CARDS", "find_card", "from_settings", "of_profile", "read_config"),
    *("trace_step", "estimate_step", "fit_tokens", "reserved"),
]


def __getattr__(name: str):
    if name in LATE:
        return getattr(import_module(f".{LATE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
