"""Counselling dialogues: read ShareGPT files, account for every row, describe, and split. The stage `data`."""

import json
import os
import random
from collections import Counter
from pathlib import Path

from . import models
from .errors import UserError
from .profile import ROOT
from .run import Run

ROLES = {"system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}


def read(path: Path) -> tuple[list[dict], list[dict]]:
    """Read a ShareGPT JSONL file.

    Returns:
        Usable rows in ms-swift's form (`messages`, with `id`, `topic`, `risk` when given), and rejected rows as
        `{"line", "reason", "row"}` with 1-based lines. Together they are every line of the file.

    Raises:
        UserError: no such file, not UTF-8, empty, or not one usable dialogue.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"dataset {path} does not exist; give the path of a ShareGPT JSONL file.")
    try:
        lines = path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"dataset {path} is not UTF-8 (byte {error.start}); save it as UTF-8.") from None
    if lines == [""]:
        raise UserError(f"dataset {path} is empty; it needs one JSON dialogue a line.")
    usable, rejected = [], []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            usable.append(
                {"messages": _messages(row)}
                | {k: row[k] for k in ("id", "topic", "risk") if k in row}
                | {"line": number}
            )
        except ValueError as error:
            reason = "not JSON" if isinstance(error, json.JSONDecodeError) else str(error)
            rejected.append({"line": number, "reason": reason, "row": line})
    if not usable:
        reason, count = Counter(r["reason"] for r in rejected).most_common(1)[0]
        first = next(r["line"] for r in rejected if r["reason"] == reason)
        raise UserError(
            f"dataset {path} holds no usable dialogue: {count} of {len(lines)} lines: {reason} (first: line {first}); "
            f"each line needs `conversations` with human and gpt turns."
        )
    return usable, rejected


def _messages(row: object) -> list[dict]:
    turns = row.get("conversations") if isinstance(row, dict) else None
    if not isinstance(turns, list) or not turns:
        raise ValueError("no list of conversations")
    messages = []
    for turn in turns:
        role = ROLES.get(turn.get("from")) if isinstance(turn, dict) else None
        text = turn.get("value") if role else None
        if role is None:
            raise ValueError("unknown speaker")
        if not isinstance(text, str) or not text.strip():
            raise ValueError("empty turn")
        messages.append({"role": role, "content": text.strip()})
    spoken = messages[1:] if messages[0]["role"] == "system" else messages
    expected = ["user", "assistant"] * (len(spoken) // 2)
    if not spoken or [m["role"] for m in spoken] != expected:
        raise ValueError("speakers do not alternate from human to gpt")
    # The profile's own system prompt takes the place of each row's, so that training and serving see the same one.
    return spoken


def sources(run: Run) -> dict[str, Path]:
    """The files in use: `{"all": …}` when DATASET is set, else `{"train": …, "val": …}`."""
    chosen = os.environ.get("DATASET")
    if chosen:
        here = Path(chosen).expanduser()
        return {"all": here if here.is_file() or here.is_absolute() else ROOT / chosen}
    return {k: ROOT / run.profile.data[k] for k in ("train", "val")}


def inputs(run: Run) -> list[Path]:
    """Files whose content the stage depends on."""
    files = list(sources(run).values())
    for file in files:
        if not file.is_file():
            raise UserError(f"dataset {file} does not exist; give DATASET the path of a ShareGPT JSONL file.")
    return files


def split(rows: list[dict], fraction: float, at_most: int, seed: int) -> tuple[list[dict], list[dict]]:
    """Hold out a share of the distinct dialogues, at least one; the same seed draws the same rows."""
    distinct = list({json.dumps(r["messages"], ensure_ascii=False): r for r in rows}.values())
    if len(distinct) < 2:
        raise UserError("the dataset holds a single distinct dialogue; at least two are needed to train and to test.")
    random.Random(seed).shuffle(distinct)
    n = min(max(round(len(distinct) * fraction), 1), at_most, len(distinct) - 1)
    return distinct[n:], distinct[:n]


def template(profile):
    """ms-swift's own template in training mode: `encode({"messages": …})` gives `input_ids` and `labels`."""
    import transformers
    from swift.utils import get_logger

    get_logger().setLevel("ERROR")
    transformers.utils.logging.set_verbosity_error()  # a notebook shows what is written to stderr in red
    from swift import get_processor, get_template

    processor = get_processor(str(models.fetch(profile.model)), model_type="llama")
    chosen = get_template(processor, template_type=profile.sft["template"], default_system=profile.sft["system"])
    chosen.set_mode("train")
    return chosen


def llama3_tokenizer():
    """Meta's real Llama-3 tokenizer (PyPI `llama-models`); `encode(text, bos=False, eos=False)` gives ids."""
    from llama_models.llama3.tokenizer import Tokenizer

    return Tokenizer.get_instance()


def lengths(rows: list[dict], profile) -> list[dict]:
    """Per dialogue: tokens as trained, supervised tokens, tokens in Llama-3's tokenizer, characters, turns."""
    own, llama3 = template(profile), llama3_tokenizer()
    out = []
    for row in rows:
        encoded = own.encode({"messages": [dict(m) for m in row["messages"]]})
        text = "".join(m["content"] for m in row["messages"])
        out.append(
            {
                "tokens": len(encoded["input_ids"]),
                "supervised": sum(x != -100 for x in encoded["labels"]),
                "llama3_tokens": len(llama3.encode(text, bos=False, eos=False)),
                "characters": len(text),
                "turns": len(row["messages"]) // 2,
                "topic": row.get("topic", "not given"),
            }
        )
    return out


def write(rows: list[dict], path: Path) -> None:
    """Write rows as JSONL in UTF-8."""
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")


def build(run: Run, work: Path) -> dict:
    """Write `train.jsonl`, `val.jsonl`, `rejected.jsonl` and `lengths.json`; return the counts."""
    files, spec = sources(run), run.profile.data
    parts = {name: read(path) for name, path in files.items()}
    if "all" in parts:
        train, val = split(parts["all"][0], spec["val_fraction"], 2 * spec["val_rows"], run.profile.sft["seed"])
    else:
        train, val = parts["train"][0], parts["val"][0]
    limit = run.profile.sft["max_length"]
    sizes = lengths(train, run.profile)
    fit = [s["tokens"] <= limit for s in lengths(val, run.profile)]
    val_kept = [r for r, ok in zip(val, fit, strict=True) if ok][: spec["val_rows"]]
    kept = sum(s["tokens"] <= limit for s in sizes)
    if not kept or not val_kept:
        raise UserError(
            f"no {'training' if not kept else 'held-out'} dialogue of {', '.join(map(str, files.values()))} fits into "
            f"sft.max_length {limit} tokens; raise it in profiles/{run.profile.name}.yaml."
        )
    write(train, work / "train.jsonl")
    write(val_kept, work / "val.jsonl")
    write([{"file": str(files[n].name), **r} for n, (_, bad) in parts.items() for r in bad], work / "rejected.jsonl")
    (work / "lengths.json").write_text(json.dumps(sizes))
    characters, tokens = sum(s["characters"] for s in sizes), sum(s["tokens"] for s in sizes)
    return {
        "sources": {n: p.name for n, p in files.items()},
        "rows_in": sum(len(good) + len(bad) for good, bad in parts.values()),
        "rejected": sum(len(bad) for _, bad in parts.values()),
        "train_rows": len(train),
        "val_rows": len(val_kept),
        "train_rows_within_max_length": kept,
        "characters": characters,
        "tokens": tokens,
        "llama3_tokens_per_character": round(sum(s["llama3_tokens"] for s in sizes) / characters, 3),
        "supervised_share": round(sum(s["supervised"] for s in sizes) / tokens, 3),
        "topics": dict(Counter(s["topic"] for s in sizes)),
    }
