"""Counselling dialogues: read ShareGPT files, account for every row, describe, and split. The stage `data`."""

import json
import os
import random
from collections import Counter
from pathlib import Path

from . import template
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
    return [*files, Path(template.__file__)]


def distinct(rows: list[dict]) -> tuple[list[dict], list[dict]]:
    """Rows without exact repetitions, and the repetitions as rejected rows that name the line they repeat."""
    first, again = {}, []
    for row in rows:
        words = json.dumps(row["messages"], ensure_ascii=False)
        if words in first:
            reason = f"same dialogue as line {first[words]['line']}"
            again.append({"line": row["line"], "reason": reason, "row": json.dumps(row, ensure_ascii=False)})
        else:
            first[words] = row
    return list(first.values()), again


def fitted(rows: list[dict], own, max_length: int) -> tuple[list[list[dict]], list[dict]]:
    """Each row as its pieces that fit (`template.pieces`), and the rows of which no exchange fits, rejected."""
    kept, rejected = [], []
    for row in rows:
        cut = template.pieces(row["messages"], own, max_length)
        if cut:
            kept.append([{**row, "messages": m, "piece": i, "pieces": len(cut)} for i, m in enumerate(cut, 1)])
        else:
            reason = f"no exchange fits into {max_length} tokens"
            rejected.append({"line": row["line"], "reason": reason, "row": json.dumps(row, ensure_ascii=False)})
    return kept, rejected


def split(rows: list, fraction: float, at_most: int, seed: int) -> tuple[list, list]:
    """Hold out a share of the rows, at least eight where there are twice as many; the same seed draws the same rows.

    Raises:
        UserError: fewer than two rows.
    """
    if len(rows) < 2:
        raise UserError(
            f"the dataset holds {len(rows)} distinct dialogues that fit; at least two are needed, one of them to test."
        )
    rows = random.Random(seed).sample(rows, len(rows))
    n = min(max(round(len(rows) * fraction), 8), at_most, len(rows) // 2)
    return rows[n:], rows[:n]


def write(rows: list[dict], path: Path) -> None:
    """Write rows as JSONL in UTF-8."""
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")


def build(run: Run, work: Path) -> dict:
    """Write `train.jsonl`, `val.jsonl`, `rejected.jsonl` and `lengths.json`; return the counts.

    `rows_in == train_dialogues + val_rows + held_back + rejected` always. A training dialogue that is too long becomes
    several training rows; a held-out dialogue is scored on its first piece.
    """
    files, spec, sft = sources(run), run.profile.data, run.profile.sft
    own = template.load(run.profile)
    whole, parts, rejected, rows_in = [], {}, [], 0
    for name, path in files.items():
        usable, bad = read(path)
        rows_in += len(usable) + len(bad)
        usable, again = distinct(usable)
        parts[name], too_long = fitted(usable, own, sft["max_length"])
        whole += usable
        rejected += [{"file": path.name, **r} for r in (*bad, *again, *too_long)]
        if not parts[name]:
            raise UserError(
                f"no exchange of {path} fits into sft.max_length {sft['max_length']} tokens; "
                f"raise it in profiles/{run.profile.name}.yaml."
            )
    if "all" in parts:
        train, val = split(parts["all"], spec["val_fraction"], spec["val_rows"], sft["seed"])
    else:
        train, val = parts["train"], parts["val"]
    rows, scored = [piece for cut in train for piece in cut], [cut[0] for cut in val[: spec["val_rows"]]]
    write(rows, work / "train.jsonl")
    write(scored, work / "val.jsonl")
    write(rejected, work / "rejected.jsonl")
    lengths, trained = template.lengths(whole, own), template.lengths(rows, own)
    (work / "lengths.json").write_text(json.dumps(lengths))
    characters, tokens = sum(s["characters"] for s in lengths), sum(s["tokens"] for s in trained)
    return {
        "sources": {n: p.name for n, p in files.items()},
        "rows_in": rows_in,
        "rejected": len(rejected),
        "train_dialogues": len(train),
        "val_rows": len(scored),
        "held_back": len(val) - len(scored),
        "train_rows": len(rows),
        "tokens": tokens,
        "supervised_share": round(sum(s["supervised"] for s in trained) / tokens, 3),
        "llama3_tokens_per_character": round(sum(s["llama3_tokens"] for s in lengths) / characters, 3),
    }
