"""Memory of a fine-tuning step: traced on any machine, measured where there is a GPU. The verb `vram`.

In reading order: `recipe`, `check`, `cards` (what is asked); `model`, `kernels`, `step` (what runs); `tracker`, `trace`
(what is counted); `stream`, `estimate` (the same in a second); `allocator` (what the driver sees); `formula`, `fitting`
(the same at once); `shape`, `fits`, `serving`, `hours`; `measure`, `published`, `blocks`, `peers` (how good it is);
`stage` and `command`. Importing this package does not import torch.
"""

from importlib import import_module

# Where each name lives; imported when it is asked for, because half of them need torch and half must not.
HOME = {
    **dict.fromkeys(("Recipe", "Memory", "from_settings", "of_profile", "read_config"), "recipe"),
    **dict.fromkeys(("Card", "CARDS", "GIB", "RecipeError", "find_card"), "cards"),
    "trace_step": "trace",
    "estimate_step": "estimate",
    "fit_tokens": "fitting",
    "reserved": "allocator",
    "kv_cache_bytes": "serving",
    "serving_memory": "serving",
}


def __getattr__(name: str):
    if name in HOME:
        return getattr(import_module(f".{HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
