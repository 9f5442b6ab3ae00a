"""What stands between the model and a person: an answer is repaired, or blocked and replaced. One pure function.

Repairs make a sound answer readable: half characters go, a loop is cut after its first round, a stray script goes, a
sentence without an end goes. A gate looks at the answer *before* any repair, so that no repair can hide what was said:
an unsafe answer is never cleaned up, it is replaced as a whole, and the original stays in `raw` for whoever reads the
log. Introduced in notebook 08.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..evaluation import safety
from ..evaluation.metrics import chinese_share
from ..inspection import lexicon, topics

SAFE = (
    "你说的这些让我很担心你现在的安全。我只是一个程序，帮不了急的。请现在就拨打12356（心理援助），"
    "有人受伤或正有危险，打120或110，也请告诉一个离你最近的、信得过的人。"
)
ASK_A_DOCTOR = "这件事我不能替医生判断。请带着你的问题去问医生或药师，在那之前别自己改变用药。"
AGAIN = "对不起，我没有把话说清楚。你愿意再说一点吗？要是眼下很难熬，可以拨打12356。"
RIGHT_NUMBERS = "我刚才说的号码可能不对，请不要打。心理援助热线是12356，急救120，报警110。"
# help in need, then public services: youth, women, labour, law, consumers, health, the city hall
HOTLINES = {"12356", "120", "110", "119", "12110", "400-161-9995", "4001619995"} | {
    *("12355", "12338", "12333", "12348", "12315", "12320", "12345")
}
BLOCKS = {
    "crisis without help": SAFE,
    "wrong hotline": RIGHT_NUMBERS,
    "instructs in harm": SAFE,
    "dose or diagnosis": ASK_A_DOCTOR,
    "nothing readable": AGAIN,
}
REPAIRS = ("half character", "loop", "mixed script", "no closing")
_END = "。！？!?…”』」）)~～"
_STRAY = re.compile(r"[\u0400-\u052f\u0600-\u06ff\u0e00-\u0e7f\u3041-\u30ff\uac00-\ud7af]+|(?<![A-Za-z])[A-Za-z]{12,}")
_PHONE = re.compile(
    r"(?<![\d.])(?:400[-\s]?\d{3}[-\s]?\d{3,5}|\d{3,4}-\d{7,8}|1\d{10}|12\d{3}|95\d{3}|96\d{3,4}|1[12]\d)(?![\d.])"
)
_CALL = re.compile(r"打|拨|电话|热线|联系|call|dial", re.I)
_UNIT = re.compile(r"\s*(?:分|秒|元|块|斤|公斤|岁|个|天|年|月|次|次|米|平|毫|mg|片|粒|万|人|号线|%|℃|度)")
_LOOP = re.compile(r"(\D{2,24}?)\1{2,}|([^\W\d])\2{5,}", re.S)


@dataclass(frozen=True)
class Checked:
    """An answer after the gate. `text` is what a person may see; `raw` is what the model wrote."""

    raw: str
    text: str
    blocked: str | None
    repairs: tuple[str, ...]


def process(question: str | Sequence[str], answer: str, system: str = "") -> Checked:
    """Repair an answer, or block it and put a written one in its place.

    Args:
        question: what the visitor said, the last turn or all of them.
        system: the system prompt; whoever only recites it has offered no help.
    """
    asked = [question] if isinstance(question, str) else list(question)
    blocked, text, done = unsafe(asked, answer, system), answer.strip(), []
    if not blocked:
        for name, function in zip(REPAIRS, (_whole, _once, _one_script, _closed), strict=True):
            after = function(text)
            if after != text:
                done.append(name)
                text = after
        # a repair may have taken the help away, or left nothing
        blocked = unsafe(asked, text, system) or (None if readable(text) else "nothing readable")
    if blocked:
        return Checked(answer, SAFE if in_danger(asked) else BLOCKS[blocked], blocked, ())
    return Checked(answer, text, None, tuple(done))


def in_danger(asked: Sequence[str]) -> bool:
    """True if the visitor's words point to danger: by page 2's flag, or by its lexicon alone.

    A message missed here costs more than one stopped in vain, so the lexicon is not overruled.
    """
    return lexicon.crisis(list(asked), []) or topics.crisis(asked, [])


def unsafe(asked: Sequence[str], answer: str, system: str = "") -> str | None:
    """The reason why an answer must not be shown (a key of `BLOCKS`), or None."""
    if wrong_numbers(answer):
        return "wrong hotline"
    last = asked[-1] if asked else ""
    harm = safety.judge(last, answer, "crisis", system)
    if harm[1].startswith("instructs"):
        return "instructs in harm"
    if in_danger(asked) and not harm[0]:
        return "crisis without help"
    deferred = safety.judge(last, answer, "defer", system)[1].startswith("instructs")
    if deferred or lexicon.medication([answer]) or lexicon.diagnosis([answer]):
        return "dose or diagnosis"
    return None


def wrong_numbers(answer: str) -> list[str]:
    """Numbers that look like a telephone, stand near a word of calling, and are no hotline of `HOTLINES`."""
    found = []
    for clause in safety.clauses(answer):
        if _CALL.search(clause):
            for hit in _PHONE.finditer(clause):
                if re.sub(r"\s", "-", hit[0]) not in HOTLINES and not _UNIT.match(clause, hit.end()):
                    found.append(hit[0])
    return found


def readable(text: str) -> bool:
    """True if a text has letters and most of them are Chinese."""
    return chinese_share(text) >= 0.5


def faults(text: str) -> list[str]:
    """Which of `REPAIRS` a text is in need of."""
    functions = (_whole, _once, _one_script, _closed)
    return [name for name, function in zip(REPAIRS, functions, strict=True) if function(text.strip()) != text.strip()]


def rates(rows: Sequence[dict], name: str, system: str = "") -> dict:
    """How many of a model's answers have each fault, before and after, and how many are blocked for what.

    Args:
        rows: of page 7's `answers.jsonl`; those without `messages` or without an answer do not count.

    Returns:
        `n`, `before` and `after` (counts by fault, "unsafe" and "unreadable" among them), `blocked`, `shown`.
    """
    rows = [r for r in rows if "messages" in r and r.get(name) is not None]
    before, after, blocked = Counter(), Counter(), Counter()
    for row in rows:
        asked = [m["content"] for m in row["messages"] if m["role"] == "user"]
        checked = process(asked, row[name], system)
        for counts, text in ((before, row[name]), (after, checked.text)):
            counts.update(faults(text))
            counts["unreadable"] += not readable(text)
            counts["unsafe"] += unsafe(asked, text, system) is not None
        blocked[checked.blocked] += checked.blocked is not None
    names = (*REPAIRS, "unreadable", "unsafe")
    return {
        "n": len(rows),
        "before": {fault: before[fault] for fault in names},
        "after": {fault: after[fault] for fault in names},
        "blocked": {reason: blocked[reason] for reason in BLOCKS},
        "shown": len(rows) - sum(blocked[reason] for reason in BLOCKS),
    }


def _whole(text: str) -> str:
    """Without the halves of characters that a cut at a token leaves behind."""
    return text.replace("\ufffd", "").strip()


def _once(text: str) -> str:
    """A part that comes three times in a row comes once, and clauses that came before go, with all that follows."""
    while loop := _LOOP.search(text):
        part, rest = loop[1] or loop[2], text[loop.end() :]
        text = text[: loop.start()] + part + ("" if part.startswith(rest) else rest)  # the last round may be cut short
    seen, kept = set(), []
    for sentence in lexicon.SENTENCE.findall(text) or [text]:
        plain = sentence.strip()
        if len(plain) > 4 and plain in seen:
            break  # what follows a sentence that comes again is the next round
        seen.add(plain)
        kept.append(sentence)
    return "".join(kept).strip()


def _one_script(text: str) -> str:
    """Without letters of other scripts among Chinese; a text that is not Chinese stays as it is, and is blocked."""
    return _STRAY.sub("", text).strip() if chinese_share(text) >= 0.5 else text


def _closed(text: str) -> str:
    """Up to the last whole sentence; a text of one open sentence gets its full stop."""
    if not text or text[-1] in _END:
        return text
    whole = max(text.rfind(mark) for mark in "。！？!?…")
    return text[: whole + 1] if whole > 0 else text.rstrip("，、；：,;:—") + "。"
