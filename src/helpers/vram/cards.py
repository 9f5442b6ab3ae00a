"""GPUs by name: what they hold, and what PyTorch takes on them outside its own count. No torch here."""

import difflib
from dataclasses import dataclass

from ..errors import UserError

MIB, GIB = 2**20, 2**30


class RecipeError(UserError):
    """A recipe that no trainer would accept, or that this package does not model: the field, and what is allowed."""


@dataclass(frozen=True)
class Card:
    """A GPU.

    Attributes:
        gib: memory that PyTorch may use, as its out-of-memory messages state it ("total capacity of … GiB").
        context: bytes that CUDA and its libraries hold in a process outside PyTorch's allocator.
        cublas: bytes of one cuBLAS workspace, PyTorch's default; a training step uses two, one a thread.
        flops: dense 16-bit tensor FLOP/s of the vendor's data sheet, None where none was looked up.
    """

    name: str
    gib: float
    context: int = 512 * MIB
    cublas: int = 8 * MIB + 128 * 1024
    flops: float | None = None


CARDS = {
    c.name: c
    for c in (
        Card("t4", 14.56, 144 * MIB, flops=65e12),
        Card("v100-16", 15.77, flops=125e12),
        Card("v100-32", 31.74, flops=125e12),
        Card("rtx3090", 23.69, flops=71e12),
        Card("rtx4090", 23.64, flops=165.2e12),
        Card("l4", 21.96, flops=121e12),
        Card("a10", 22.06, flops=125e12),
        Card("l40s", 44.40, flops=362e12),
        Card("a6000", 47.54, flops=154.8e12),
        Card("a100-40", 39.39, flops=312e12),
        Card("a100-80", 79.15, flops=312e12),
        Card("h100", 79.10, cublas=32 * MIB, flops=989.4e12),
        Card("h200", 139.80, cublas=32 * MIB, flops=989.4e12),
    )
}
DEFAULT = {24: "rtx4090", 40: "a100-40", 80: "h100"}  # what a bare number of GB means


def find_card(asked: str | float) -> Card:
    """The card of a name ("H100", "RTX 4090") or of a size in GB.

    Raises:
        RecipeError: no such card; the nearest names are offered.
    """
    text = str(asked).strip().lower().removesuffix("gb").strip()
    try:
        size = float(text)
    except ValueError:
        size = None
    if size is not None:
        if not 1 <= size <= 1024:
            raise RecipeError(f"gpu: {asked} is no size of a GPU in GB; give one from 1 to 1024, or a name.")
        return CARDS[DEFAULT[size]] if size in DEFAULT else Card(f"{size:g} GB", size * 1e9 / GIB)
    plain = "".join(c for c in text.replace("geforce", "").replace("nvidia", "") if c.isalnum())
    names = {n.replace("-", ""): n for n in CARDS} | {"a100": "a100-80", "4090": "rtx4090", "3090": "rtx3090"}
    names |= {"h10080": "h100", "v100": "v100-16", "a10g": "a10", "rtxa6000": "a6000", "tesla" + "t4": "t4"}
    if plain in names:
        return CARDS[names[plain]]
    near = difflib.get_close_matches(plain, names, n=1, cutoff=0.4)
    offer = f"; did you mean {names[near[0]]!r}?" if near else ""
    raise RecipeError(f"gpu: no card {str(asked)!r} is known{offer}; there are {', '.join(CARDS)}, or a size in GB.")
