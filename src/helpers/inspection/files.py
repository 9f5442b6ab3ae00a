"""Whole files: rows are judged in parallel, and five files appear together or not at all."""

import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..errors import UserError
from . import duplicates, forms, reading, row, rules, writing
from .codes import actions as all_actions

OUTPUTS = ("clean.jsonl", "quarantine.jsonl", "repairs.jsonl", "flags.jsonl", "report.json")
CHUNK, IN_PROCESS = 500, 4000  # rows; fewer than IN_PROCESS are not worth the start of other processes
MAX_TOKENS = 3072  # the recipe's max_length, in tokens of Llama-3


def inspect(
    files: list[Path],
    out: Path,
    val: Path | None = None,
    prompts: list[Path] = (),
    overrides: dict[str, str] | None = None,
    max_tokens: int = MAX_TOKENS,
    tokenizers: Sequence[Path] = (),
    workers: int | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> dict:
    """Inspect files and write `OUTPUTS` into the folder `out`, all of them or none; return the report.

    Args:
        val: dialogues that must not be in the files; `prompts` likewise, as JSONL with `question` or `prompt`.
        overrides: an action for each code that is not to have its default (`codes.actions`).
        tokenizers: folders of models whose tokens are counted beside those of Llama-3.
        workers: processes; as many as there are cores, if None.
        progress: called with the number of rows done.

    Raises:
        UserError: a file that cannot be read, a folder that cannot be written or holds no tokenizer, an override that
            is not allowed.
    """
    from . import report as reports

    started, out = time.monotonic(), Path(out).expanduser()
    counting = reports.counters(tokenizers)
    settings = row.Settings(all_actions(overrides), max_tokens, _others(val, prompts))
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; give a folder as --out.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise UserError(f"{out} cannot be written ({error.strerror}); give another folder as --out.") from None
    try:
        files = list(map(Path, files))
        report = writing.write(
            _judged(files, settings, workers or os.cpu_count() or 1), files, work, settings, progress
        )
        report = reports.complete(report, work / "clean.jsonl", settings, counting, time.monotonic() - started)
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
            turns, _ = forms.messages(forms.parse(text.lstrip("\ufeff")))
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
