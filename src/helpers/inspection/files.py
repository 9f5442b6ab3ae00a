"""Whole files: rows are judged in parallel, duplicates are found at the end, five files appear together."""

import json
import multiprocessing
import os
import pickle
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ..errors import UserError
from . import duplicates, forms, reading, row, rules
from .codes import actions as all_actions

OUTPUTS = ("clean.jsonl", "quarantine.jsonl", "repairs.jsonl", "flags.jsonl", "report.json")
CHUNK, IN_PROCESS = 500, 4000  # rows; fewer than IN_PROCESS are not worth the start of other processes
_NO_TEXT = re.compile("[\ud800-\udfff]")
MAX_TOKENS = 3072  # the recipe's max_length, in tokens of Llama-3


def inspect(
    files: list[Path],
    out: Path,
    val: Path | None = None,
    prompts: list[Path] = (),
    overrides: dict[str, str] | None = None,
    max_tokens: int = MAX_TOKENS,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> dict:
    """Inspect files and write `OUTPUTS` into the folder `out`, all of them or none; return the report.

    Args:
        val: dialogues that must not be in the files; `prompts` likewise, as JSONL with `question` or `prompt`.
        overrides: an action for each code that is not to have its default (`codes.actions`).
        workers: processes; as many as there are cores, if None.
        progress: called with the number of rows done.

    Raises:
        UserError: a file that cannot be read, a folder that cannot be written, an override that is not allowed.
    """
    started, out = time.monotonic(), Path(out).expanduser()
    settings = row.Settings(all_actions(overrides), max_tokens, _others(val, prompts))
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; give a folder as --out.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise UserError(f"{out} cannot be written ({error.strerror}); give another folder as --out.") from None
    try:
        report = _write(list(map(Path, files)), work, settings, workers or os.cpu_count() or 1, progress)
        from . import report as reports

        report = reports.complete(report, work / "clean.jsonl", settings, time.monotonic() - started)
        (work / "report.json").write_text(json.dumps(report, ensure_ascii=False, indent=1), encoding="utf-8")
        out.mkdir(exist_ok=True)
        for name in OUTPUTS:
            (work / name).replace(out / name)
    except OSError as error:
        raise UserError(f"{out} cannot be written ({error.strerror}); free some space or give another --out.") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report


def _others(val: Path | None, prompts: list[Path]) -> duplicates.Others:
    dialogues, asked = {}, {}
    for number, text, _ in reading.rows(val) if val else ():
        try:
            turns, _ = forms.messages(forms.parse(text.removeprefix("\ufeff")))
        except forms.Refused:
            continue
        texts = [row.repaired(t["content"], all_actions())[0] for t in turns if t["role"] != "system"]
        dialogues[f"{Path(val).name}:{number}"] = rules.letters("".join(texts))
    for path in prompts:
        for number, text, _ in reading.rows(path):
            value = forms.parse(text)
            asked[f"{Path(path).name}:{number}"] = rules.letters(value.get("prompt") or value.get("question") or "")
    return duplicates.Others(dialogues, asked)


def _chunks(files: list[Path]) -> Iterator[list[tuple[str, int, str, str]]]:
    chunk, size = [], 0
    for path in files:
        for number, text, encoding in reading.rows(path):
            chunk.append((path.name, number, text, encoding))
            size += len(text)
            if len(chunk) == CHUNK or size > 2**22:
                yield chunk
                chunk, size = [], 0
    if chunk:
        yield chunk


_settings: row.Settings | None = None  # of a worker


def _begin(settings: row.Settings) -> None:
    global _settings
    _settings = settings


def _judge(chunk: list[tuple[str, int, str, str]]) -> list[tuple[str, int, row.Verdict]]:
    return [(name, number, row.judge(text, encoding, _settings)) for name, number, text, encoding in chunk]


def _judged(files: list[Path], settings: row.Settings, workers: int) -> Iterator[list[tuple[str, int, row.Verdict]]]:
    chunks, waiting = _chunks(files), []
    for chunk in chunks:
        waiting.append(chunk)
        if len(waiting) * CHUNK > IN_PROCESS:
            break
    else:
        workers = 1
    if workers == 1:
        _begin(settings)
        yield from map(_judge, waiting)
        yield from map(_judge, chunks)
        return
    # Spawned, not forked: a notebook has threads running, and a forked child of theirs can wait for ever.
    with multiprocessing.get_context("spawn").Pool(workers, _begin, (settings,)) as pool:
        pending = [pool.apply_async(_judge, (chunk,)) for chunk in waiting]
        for chunk in chunks:  # no more in flight than needed, so that memory stays bounded
            pending.append(pool.apply_async(_judge, (chunk,)))
            while len(pending) > 4 * workers:
                yield pending.pop(0).get()
        while pending:
            yield pending.pop(0).get()


def _write(files: list[Path], work: Path, settings: row.Settings, workers: int, progress: Callable) -> dict:
    """Judge all rows into a spool, find the duplicates, then write the four files in the order of the rows."""
    where, exact, done, encodings = [], [], 0, Counter()
    with (work / "spool").open("wb") as spool, (work / "signatures").open("wb") as signatures:
        for chunk in _judged(files, settings, workers):
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
