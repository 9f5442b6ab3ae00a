"""Files of published Chinese benchmarks, read into the rows that this book's own quiz and dialogues have.

Nothing of them is shipped: you fetch a file under its own licence and give its path. Questions become `id`, `kind`
(single, multiple), `subject`, `question`, `A`, `B` …, `answer` ("A", "ACD"); dialogues become `id`, `topic`,
`messages`, which `testset.turns` cuts into single replies. Introduced in notebook 07.
"""

import csv
import io
import json
import re
from collections.abc import Iterable
from pathlib import Path
from string import ascii_uppercase

from ..errors import UserError

_KINDS = {
    "single": "single",
    "单项选择题": "single",
    "multi": "multiple",
    "multiple": "multiple",
    "多项选择题": "multiple",
}
_SPEAKER = re.compile(r"\s*(求助者|支持者|来访者|咨询师|心理咨询师)\s*[:：]\s*")
_ROLES = {"求助者": "user", "来访者": "user", "支持者": "assistant", "咨询师": "assistant", "心理咨询师": "assistant"}


def cpsyexam(file: Path) -> list[dict]:
    """CPsyExam: a JSON array (or JSONL) of `question_type` (single, multi), `question`, `options` {A: …}, `answer`.

    The subject is `subject_name`; `options` that lie flat in the row as `A` to `E` are taken as well, empty ones
    dropped. An answer of several letters may have blanks or commas between them.

    Source: https://github.com/CAS-SIAT-XinHai/CPsyExam, licence CC BY-NC-SA 4.0.

    Raises:
        UserError: no such file, not this form, or an answer that names no option; the sentence gives the row.
    """
    rows = []
    for number, record in _records(file):
        options = record.get("options") or {letter: record.get(letter) for letter in ascii_uppercase[:8]}
        kind = _KINDS.get(str(record.get("question_type", "single")).strip().lower())
        if not isinstance(options, dict) or kind is None:
            raise UserError(f"{file} row {number} is not in CPsyExam's form: it needs `question_type` and `options`.")
        subject = record.get("subject_name") or Path(file).stem
        name = record.get("id", f"{Path(file).stem}-{number}")
        rows.append(_question(file, number, name, kind, subject, record.get("question"), options, record.get("answer")))
    return rows


def cmmlu(file: Path) -> list[dict]:
    """CMMLU: a CSV with the columns `Question`, `A`, `B`, `C`, `D`, `Answer`; the subject is the file's name.

    Source: https://github.com/haonan-li/CMMLU; its licence stands there. See `professional_psychology.csv`.

    Raises:
        UserError: no such file, another header, or an answer that names no option; the sentence gives the row.
    """
    subject = Path(file).stem
    with _open(file) as lines:
        table = csv.DictReader(lines)
        missing = {"Question", "A", "B", "C", "D", "Answer"} - set(table.fieldnames or ())
        if missing:
            raise UserError(f"{file} is not in CMMLU's form: its header lacks {', '.join(sorted(missing))}.")
        rows = _some(file, list(table))
    made = []
    for n, row in enumerate(rows, 1):
        options = {letter: row[letter] for letter in "ABCD"}
        made.append(_question(file, n, f"{subject}-{n}", "single", subject, row["Question"], options, row["Answer"]))
    return made


def safetybench(file: Path, answers: Path | None = None) -> list[dict]:
    """SafetyBench: JSON of `id`, `category`, `question`, `options` (two to four), `answer` (0 is the first option).

    Args:
        answers: for its test files, whose answers lie apart: a JSON object of `{id: {"answer": 0}}`.

    Source: https://github.com/thu-coai/SafetyBench, licence MIT.

    Raises:
        UserError: no such file, not this form, or a row without an answer; the sentence gives the row.
    """
    key = {str(r.get("id", n)): r.get("answer") for n, r in _records(answers)} if answers else {}
    rows = []
    for number, record in _records(file):
        name = str(record.get("id", number))
        place, options = key.get(name, record.get("answer")), record.get("options")
        if not isinstance(options, list) or not 2 <= len(options) <= 4:
            raise UserError(f"{file} row {number} is not in SafetyBench's form: it needs a list of 2 to 4 `options`.")
        if not isinstance(place, int) or not 0 <= place < len(options):
            raise UserError(
                f"{file} row {number} has no usable answer; the answers of SafetyBench's test files lie apart, "
                f"give that file as `answers`."
            )
        lettered = dict(zip(ascii_uppercase, options, strict=False))
        category, letter = record.get("category", "not given"), ascii_uppercase[place]
        rows.append(_question(file, number, name, "single", category, record.get("question"), lettered, letter))
    return rows


def cpsycoune(path: Path) -> list[dict]:
    """CPsyCounE: a dialogue a file, a JSON array of lines (or plain text) that begin with `求助者：` or `支持者：`.

    A folder is read with all below it, and the name of a file's folder is its topic. A line without a speaker goes on
    with the turn before it, and so does a second line of the same speaker.

    Source: https://github.com/CAS-SIAT-XinHai/CPsyCoun; its licence stands there.

    Raises:
        UserError: no such file or folder, a first line without a speaker, or no reply in it.
    """
    path = Path(path)
    files = sorted(p for p in path.rglob("*") if p.suffix in (".json", ".txt")) if path.is_dir() else [path]
    if not files:
        raise UserError(f"{path} holds no .json or .txt file; give the folder of CPsyCounE's dialogues.")
    root = path if path.is_dir() else path.parent
    names = [file.relative_to(root).with_suffix("").as_posix() for file in files]
    return [{"id": n, "topic": f.parent.name, "messages": _dialogue(f)} for n, f in zip(names, files, strict=True)]


def _dialogue(file: Path) -> list[dict]:
    with _open(file) as lines:
        text = lines.read()
    if file.suffix == ".json":
        found = _parsed(file, text)
        if not isinstance(found, list) or not all(isinstance(line, str) for line in found):
            raise UserError(f"{file} is not in CPsyCounE's form: it needs a JSON array of lines.")
        spoken = found
    else:
        spoken = text.splitlines()
    turns: list[dict] = []
    for line in filter(str.strip, spoken):
        mark = _SPEAKER.match(line)
        role = _ROLES[mark[1]] if mark else turns[-1]["role"] if turns else None
        if role is None:
            raise UserError(f"{file}: the first line names no speaker; it must begin with 求助者： or 支持者：.")
        said = line[mark.end() :].strip() if mark else line.strip()
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += f"\n{said}"
        else:
            turns.append({"role": role, "content": said})
    if not any(t["role"] == "assistant" for t in turns):
        raise UserError(f"{file} holds no line of 支持者：, so there is no reply to compare with.")
    return turns


def _question(file, number: int, name, kind: str, subject, text, options: dict, answer) -> dict:
    kept = {k.strip().upper(): str(v).strip() for k, v in options.items() if v is not None and str(v).strip()}
    letters = "".join(sorted(set(re.findall("[A-Z]", str(answer or "").upper()))))
    if not isinstance(text, str) or not text.strip() or list(kept) != list(ascii_uppercase[: len(kept)]):
        raise UserError(f"{file} row {number} needs a question and options A, B, … without a gap.")
    if not letters or set(letters) - set(kept) or (kind == "single" and len(letters) > 1):
        raise UserError(
            f"{file} row {number}: the answer {answer!r} does not name {kind} options of {', '.join(kept)}."
        )
    row = {"id": str(name), "kind": kind, "subject": str(subject), "question": text.strip()}
    return row | kept | {"answer": letters}


def _records(file: Path) -> Iterable[tuple[int, dict]]:
    """Numbered objects of a JSON array, of a JSON object by id, or of JSONL."""
    with _open(file) as lines:
        text = lines.read().strip()
    if text[:1] == "{" and "\n{" in text:
        found = [_parsed(file, line) for line in text.splitlines() if line.strip()]
    else:
        found = _parsed(file, text) if text else []
        if isinstance(found, dict):
            by_id = all(isinstance(v, dict) for v in found.values())
            found = [{"id": k, **v} for k, v in found.items()] if by_id else [found]
    for number, record in enumerate(_some(file, found), 1):
        if not isinstance(record, dict):
            raise UserError(f"{file} row {number} is not an object with named fields.")
        yield number, record


def _parsed(file: Path, text: str):
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"{file} is not JSON ({error}).") from None


def _some(file: Path, rows: list) -> list:
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{file} holds no rows; nothing can be scored with it.")
    return rows


def _open(file: Path):
    try:
        text = Path(file).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}); give the path of the benchmark's file.") from None
    except UnicodeDecodeError:
        raise UserError(f"{file} is not UTF-8; save it as UTF-8 first.") from None
    return io.StringIO(text, newline="")
