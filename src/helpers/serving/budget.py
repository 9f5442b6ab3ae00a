"""The KV cache of a profile's server: predicted from the model's shape, and read from a recorded run."""

from .. import profile as profiles
from ..vram.cards import GIB, find_card
from ..vram.serving import kv_cache_bytes, serving_memory
from ..vram.settings import of_profile
from . import recorded

UNKNOWN = "not measured yet"


def table() -> list[dict]:
    """One row for each profile that has a GPU: what the cache needs at most, and what the card has room for."""
    rows = []
    for chosen in profiles.for_gpu():
        config, options = of_profile(chosen).config, chosen.serve
        share, length, at_once = (options[k] for k in ("cache_max_entry_count", "session_len", "max_batch_size"))
        card = find_card(chosen.vram["gpu_memory_gib"])
        memory = serving_memory(config, card, share, length)
        rows.append(
            {
                "profile": chosen.name,
                "card": card.name,
                "KiB a token": kv_cache_bytes(config) / 1024,
                "session_len": length,
                "clients": at_once,
                "all full, GiB": round(kv_cache_bytes(config, length * at_once) / GIB, 1),
                "weights, GiB": round(memory.weights / GIB, 1),
                "cache, GiB": round(memory.cache / GIB, 1),
                "full sessions in it": round(memory.sessions, 1),
                "in use when ready, GiB": measured(chosen.name, share) or UNKNOWN,
                "predicted, GiB": round(memory.total / GIB, 1),
            }
        )
    return rows


def measured(profile: str, share: float) -> float | None:
    """GPU memory that a recorded server with this share took when it was ready; None if nobody recorded one."""
    found = [r for r in recorded.runs(profile) if r["share"] == share and r["memory_gib"]]
    return found[0]["memory_gib"] if found else None
