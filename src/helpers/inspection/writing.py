"""What an inspection writes: verdicts become clean, quarantined, repaired and flagged rows once all are known."""

import json
import pickle
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from . import duplicates, row

Judged = tuple[str, int, row.Verdict]  # file, line, verdict
_NO_TEXT = re.compile("[\ud800-\udfff]")


def write(judged: Iterable[list[Judged]], files: list[Path], work: Path, settings: row.Settings, progress) -> dict:
    """Keep verdicts in a spool, find the duplicates, then write the four files in the order of the rows.

    Args:
        judged: chunks of rows, each with its file's name and line. work: a folder for the spool and the four files.
        progress: called with the number of rows done.

    Returns:
        `rows_in`, `kept`, `quarantined`, `codes` (rows of each) and `encodings` (rows of each, by file).
    """
    where, exact, done, encodings = [], [], 0, Counter()
    with (work / "spool").open("wb") as spool, (work / "signatures").open("wb") as signatures:
        for chunk in judged:
            slim = []
            for name, number, verdict in chunk:
                if verdict.signature is not None:
                    signatures.write(verdict.signature.tobytes())
                    exact.append(verdict.exact)
                    where.append((files.index(next(f for f in files if f.name == name)), number))
                encodings[name, verdict.encoding] += 1
                slim.append((name, number, verdict._replace(signature=verdict.signature is not None)))
            pickle.dump(slim, spool, protocol=5)
            done += len(chunk)
            progress(done)
    again = {}
    if exact:
        mapped = np.memmap(work / "signatures", np.uint32, "r", shape=(len(exact), duplicates.PERMUTATIONS))
        again = duplicates.find(mapped, np.array(exact, dtype=np.uint64))
        del mapped
    report = _sort_out(work, where, again, files, settings)
    report["encodings"] = {f.name: {e: n for (name, e), n in encodings.items() if name == f.name} for f in files}
    (work / "spool").unlink()
    (work / "signatures").unlink()
    return report


def _sort_out(work: Path, where: list, again: dict, files: list[Path], settings: row.Settings) -> dict:
    codes, kept, rows_in, seen, several = Counter(), 0, 0, 0, len(files) > 1
    with (
        (work / "spool").open("rb") as spool,
        (work / "clean.jsonl").open("w", encoding="utf-8", newline="\n") as clean,
        (work / "quarantine.jsonl").open("w", encoding="utf-8", newline="\n") as quarantine,
        (work / "repairs.jsonl").open("w", encoding="utf-8", newline="\n") as repairs,
        (work / "flags.jsonl").open("w", encoding="utf-8", newline="\n") as flags,
    ):
        while True:
            try:
                chunk = pickle.load(spool)
            except EOFError:
                break
            for name, number, verdict in chunk:
                rows_in += 1
                place = {"file": name, "line": number} if several else {"line": number}
                reasons, worth, same_as = list(verdict.reasons), list(verdict.flags), verdict.same_as
                if verdict.signature:
                    if seen in again:
                        code, other = again[seen]
                        file, line = where[other]
                        if (action := settings.actions[code]) != "off":
                            (reasons if action == "quarantine" else worth).append(code)
                            same_as = f"{files[file].name}:{line}"
                    seen += 1
                named = {"same_as": same_as} if same_as else {}
                if reasons:
                    codes.update(set(reasons))
                    _line(quarantine, {**place, "reasons": reasons, **named, "row": verdict.text})
                    continue
                kept += 1
                codes.update({r["code"] for r in verdict.repairs} | set(worth))
                _line(clean, {"messages": verdict.messages, **place, **verdict.fields})
                if verdict.repairs:
                    _line(repairs, {**place, "repairs": verdict.repairs})
                if worth:
                    _line(flags, {**place, "flags": worth, **named})
    return {"rows_in": rows_in, "kept": kept, "quarantined": rows_in - kept, "codes": dict(codes)}


def _line(file, value: dict) -> None:
    text = json.dumps(value, ensure_ascii=False)
    if _NO_TEXT.search(text):  # lone surrogates stand for bytes that are no text; as escapes they can be written
        text = json.dumps(value)
    file.write(text + "\n")
