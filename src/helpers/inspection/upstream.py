"""What ms-swift itself does with a row: asked of its own preprocessor and template, not asserted."""

import io
from types import SimpleNamespace

STOPS, DROPS, TRAINS = "stops reading the file", "drops the row", "trains on it"


def verdict(text: str, template) -> str:
    """`STOPS`, `DROPS` or `TRAINS`: what `swift sft` does with a row of a JSONL file.

    Args:
        text: the row's text.
        template: ms-swift's template in training mode (`template.load`).
    """
    import pyarrow
    import pyarrow.json
    from swift.dataset import AutoPreprocessor

    try:
        row = pyarrow.json.read_json(io.BytesIO(text.encode("utf-8", "surrogateescape"))).to_pylist()[0]
    except (pyarrow.ArrowInvalid, IndexError):
        return STOPS
    chosen = AutoPreprocessor(traceback_limit=0)._get_preprocessor(SimpleNamespace(features=row.keys()))
    named = {chosen.columns.get(key, key): [value] for key, value in row.items()}
    messages = chosen.batched_preprocess(named, strict=False, ignore_max_length_error=True).get("messages")
    if not messages:
        return DROPS
    try:
        encoded = template.encode({"messages": messages[0]})
    except Exception:  # ms-swift catches everything here too, and drops the row
        return DROPS
    return TRAINS if any(x != -100 for x in encoded["labels"]) else DROPS


def packed(lengths: list[int], length: int) -> list[list[int]]:
    """ms-swift's own packing of dialogues: for each sequence of at most `length` tokens, the lengths in it."""
    from swift.dataset.packing import PackingDataset, calculate_matched_group

    size, packs, rest = PackingDataset.PACKING_BATCH_SIZE, [], []
    fitting = [(i, n) for i, n in enumerate(lengths) if n <= length]
    for start in range(0, len(fitting), size):
        last = start + size >= len(fitting)
        packs_now, rest = calculate_matched_group(rest + fitting[start : start + size], length, is_finished=last)
        packs += packs_now
    return [[n for _, n in pack] for pack in packs]
