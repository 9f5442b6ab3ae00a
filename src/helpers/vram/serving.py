"""Memory of serving with LMDeploy: the weights, and a cache whose size you choose. No torch here."""

from dataclasses import dataclass

from .cards import GIB, Card, RecipeError
from .shape import Shape


def kv_cache_bytes(config: dict, tokens: int = 1, value_bytes: int = 2) -> int:
    """Bytes of keys and values for `tokens` tokens: two tensors a layer, one row a key-value head."""
    shape = Shape.of(config)
    return 2 * shape.layers * shape.kv_heads * shape.head * value_bytes * tokens


@dataclass(frozen=True)
class Serving:
    """Bytes of a server. `tokens`: what the cache holds; `sessions` of them: how many full-length ones that is."""

    weights: int
    context: int
    cache: int
    total: int
    tokens: int
    sessions: float


def serving_memory(config: dict, card: Card, cache_max_entry_count: float, session_len: int) -> Serving:
    """What LMDeploy takes: context and weights, and then a share of what is left free.

    The engine's own buffers, up to 2 GiB for a vocabulary of 128,256, are not in it.

    Raises:
        RecipeError: a share outside (0, 1), no room for the weights, a cache smaller than one session.
    """
    share = cache_max_entry_count
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise RecipeError(
            f"cache_max_entry_count: {share!r} is not allowed; it is the share of the memory left after the weights, "
            f"above 0 and below 1. A model cannot answer without a cache, so 0 is refused; 0.01 is the least in use."
        )
    weights = 2 * Shape.of(config).parameters()
    free = round(card.gib * GIB) - card.context - weights
    if free <= 0:
        raise RecipeError(f"gpu: {card.name} holds {card.gib} GiB, the weights take {weights / GIB:.1f} GiB alone.")
    each = kv_cache_bytes(config)
    cache = round(share * free)
    return Serving(
        weights, card.context, cache, card.context + weights + cache, cache // each, cache / each / session_len
    )


def share_for(config: dict, card: Card, total_gb: float) -> float:
    """The `cache_max_entry_count` at which a server takes `total_gb` (10^9 bytes); it may fall outside (0, 1)."""
    weights = 2 * Shape.of(config).parameters()
    free = round(card.gib * GIB) - card.context - weights
    return (total_gb * 1e9 - card.context - weights) / free
