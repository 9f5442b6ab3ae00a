"""Counselling dialogues: read ShareGPT files, account for every row, describe, and split. The stage `data`."""

import json
import os
import random
import tempfile
from collections import Counter
from pathlib import Path

from . import inspection, template
from .errors import UserError
from .inspection.reading import written
from .profile import ROOT
from .run import Run


def read(path: Path, out: Path | None = None, **how) -> tuple[list[dict], list[dict]]:
    """Inspect a file of dialogues (`inspection.inspect`, which takes `how`), and leave what it wrote in `out`.

    Returns:
        Clean rows in ms-swift's form (`messages`, with `id`, `topic`, `risk` when given, and the `line`), without
        their system prompts, and rejected rows as `{"line", "reason", "row"}`. Together they are every row.

    Raises:
        UserError: no such file, an empty one, or one without a usable dialogue.
    """
    path = Path(path).expanduser()
    with tempfile.TemporaryDirectory() as elsewhere:
        out = out or Path(elsewhere) / "out"
        report = inspection.inspect([path], out, **how)
        usable, held = (written(out / name) for name in ("clean.jsonl", "quarantine.jsonl"))
    rejected = [{"line": r["line"], "reason": _reason(r), "row": r["row"]} for r in held]
    if not usable:
        reason, count = Counter(r["reason"] for r in rejected).most_common(1)[0]
        first = next(r["line"] for r in rejected if r["reason"] == reason)
        raise UserError(
            f"dataset {path} holds no usable dialogue: {count} of {report['rows_in']} rows: {reason} "
            f"(first: row {first}); each needs `conversations` with human and gpt turns."
        )
    for row in usable:
        # The profile's own system prompt takes the place of each row's: training and serving must see the same one.
        row["messages"] = [m for m in row["messages"] if m["role"] != "system"]
    return usable, rejected


def _reason(row: dict) -> str:
    return ", ".join(row["reasons"]) + (f" of {row['same_as']}" if "same_as" in row else "")


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
    code = [*sorted(Path(inspection.__file__).parent.glob("*.py")), inspection.LEXICON, inspection.WEIGHTS]
    return [*files, *prompts(run), Path(template.__file__), *code]


def prompts(run: Run) -> list[Path]:
    """The questions that the evaluation asks, which must not be trained on."""
    return [ROOT / run.profile.eval[k] for k in ("quiz", "safety")]


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
    """Write `train.jsonl`, `val.jsonl`, `rejected.jsonl`, `lengths.json` and `inspection/`; return the counts.

    `rows_in == train_dialogues + val_rows + held_back + rejected` always. A training dialogue that is too long becomes
    several training rows; a held-out dialogue is scored on its first piece.
    """
    files, spec, sft = sources(run), run.profile.data, run.profile.sft
    own = template.load(run.profile)
    whole, parts, rejected, rows_in, codes = [], {}, [], 0, Counter()
    actions = {"overlong": "off"} | spec["inspect"]  # long dialogues are cut between exchanges instead
    (work / "inspection").mkdir()
    for name, path in files.items():
        out, val = work / "inspection" / name, files.get("val") if name == "train" else None
        usable, bad = read(path, out, val=val, prompts=prompts(run), overrides=actions)
        report = json.loads((out / "report.json").read_text(encoding="utf-8"))
        codes.update({code: row["rows"] for code, row in report["codes"].items() if row["rows"]})
        rows_in += report["rows_in"]
        parts[name], too_long = fitted(usable, own, sft["max_length"])
        whole += usable
        rejected += [{"file": path.name, **r} for r in (*bad, *too_long)]
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
        "codes": dict(codes),
        "train_dialogues": len(train),
        "val_rows": len(scored),
        "held_back": len(val) - len(scored),
        "train_rows": len(rows),
        "tokens": tokens,
        "supervised_share": round(sum(s["supervised"] for s in trained) / tokens, 3),
        "llama3_tokens_per_character": round(sum(s["llama3_tokens"] for s in lengths) / characters, 3),
    }
