"""Dialogues for the gaps of the data, written by any OpenAI-compatible model, and admitted only after inspection.

`SYNTHESIS_URL` and `SYNTHESIS_MODEL` name the model, `SYNTHESIS_KEY` is its key. Every answer that was asked for is
accounted for: admitted, or refused with its reasons. Introduced in notebook 08.
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from .. import inspection
from ..errors import UserError
from ..inspection import topics
from ..structured import NO_ANSWER, Model, ask
from . import grid, postprocess

ORIGIN = "synthetic"
NO_FORM = "no_dialogue"  # beside the codes of page 2: the model gave nothing in form
NO_HELP, OTHER_CELL, WRONG_NUMBER = "crisis_without_help", "other_cell", "wrong_hotline"
# what page 2 only flags in a dialogue that people wrote is refused in one that a model wrote
STRICTER = dict.fromkeys(
    ("diagnosis", "medication", "short_reply", "repeated_reply", "english_reply", "url", "lecture"), "quarantine"
)
SYSTEM = """请写一段虚构的心理倾听对话，来访者和倾听者各说两次，来访者先说。
来访者说具体的事、具体的时间和东西，像平常人说话。
倾听者温和、简短，每次不超过八十个字：先接住感受，再问一个问题或给一小步。不说教，不下诊断，不谈药量，不编电话号码。
来访者有危险时，倾听者要问安全，并说出12356、120或110。不要出现真实的人名、电话和地址。只输出一个 JSON 对象：
{"messages": [{"role": "user", "content": "……"}, {"role": "assistant", "content": "……"}, …]}"""


class Turn(BaseModel):
    """One speaker's words."""

    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["user", "assistant"]
    content: str = Field(min_length=1)


class Dialogue(BaseModel):
    """What the model must answer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    messages: list[Turn] = Field(min_length=2, max_length=8)


def prompt(topic: str, feeling: str, number: int) -> list[dict]:
    """What the model is asked for one cell of the grid; `number` tells several dialogues for one cell apart."""
    words = grid.FEELINGS[feeling].replace("|", "、").replace("(?:", "").replace(")?", "").replace(")", "")
    asked = f"主题：{topic}\n感受：{feeling}（来访者会用到这类词：{words}）\n第 {number} 段，和前面的处境不同。"
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": asked}]


def write(model: Model, cells: Sequence[tuple[str, str]], file: Path, each: int = 1) -> list[dict]:
    """Ask for `each` dialogues a cell; every answer is in `file` before the next question. Goes on where it stopped.

    Returns:
        For each `topic`, `feeling`, `number`, `messages` (None where the model gave no dialogue), `status`, `attempts`.

    Raises:
        UserError: the endpoint refuses or does not answer; what came before is kept.
    """
    done = [json.loads(x) for x in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []
    have, client = {(r["topic"], r["feeling"], r["number"]) for r in done}, model.client()
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as out:
        for topic, feeling in cells:
            for number in range(1, each + 1):
                if (topic, feeling, number) in have:
                    continue
                found = ask(model, prompt(topic, feeling, number), Dialogue, client)
                if found["status"].startswith(NO_ANSWER):
                    raise UserError(
                        f"{model.url} does not answer ({found['status'].split('(')[1]}; the {len(done)} dialogues "
                        f"that came before are in {file.name}. Start the endpoint and run this again."
                    )
                messages = found.pop("answer") or {"messages": None}
                row = {"topic": topic, "feeling": feeling, "number": number, **messages, **found}
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
                out.flush()
                done.append(row)
    return done


def admit(answers: Sequence[dict], train: Path, val: Path, prompts: Sequence[Path]) -> tuple[list[dict], list[dict]]:
    """Inspect what a model wrote, as strictly as nothing else here: page 2's checks, and four more.

    Refused are also: nearly a dialogue of the training file or an earlier answer, anything of the validation, quiz and
    safety files, a crisis without a way to get help, a wrong telephone number, a dialogue of another cell.

    Args:
        train: the training file; `val` and `prompts` what must not be in it.

    Returns:
        Admitted rows (`messages`, `id`, `topic`, `feeling`, `origin`) and refused ones (`reasons`, `answer`); together
        as many as there were answers.
    """
    whole = [a for a in answers if a["messages"]]
    refused = [{"reasons": [NO_FORM], "answer": a} for a in answers if not a["messages"]]
    kept, held = _inspected(whole, train, val, prompts)
    admitted = []
    for place, answer in enumerate(whole, 1):
        if place in held:
            refused.append({**held[place], "answer": answer})
            continue
        row = kept[place]
        reasons = _more(row["messages"], answer)
        named = {"id": f"synthetic-{place:04d}", "topic": answer["topic"], "feeling": answer["feeling"]}
        if reasons:
            refused.append({"reasons": reasons, "answer": answer})
        else:
            admitted.append({**named, "messages": row["messages"], "origin": ORIGIN})
    return admitted, refused


def _inspected(whole: Sequence[dict], train: Path, val: Path, prompts: Sequence[Path]) -> tuple[dict, dict]:
    """Page 2's verdicts by place in `whole`: rows that stay, and reasons of those that do not."""
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "answers.jsonl", Path(folder) / "out"
        lines = (json.dumps({"messages": a["messages"]}, ensure_ascii=False) + "\n" for a in whole)
        file.write_text("".join(lines), encoding="utf-8")
        if not whole:
            return {}, {}
        # the training file first: of two dialogues that say the same the earlier one stays
        inspection.inspect([train, file], out, val=val, prompts=list(prompts), overrides=STRICTER)
        rows = {
            name: [json.loads(x) for x in (out / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
            for name in ("clean", "quarantine")
        }
    mine = {name: {r["line"]: r for r in some if r["file"] == file.name} for name, some in rows.items()}
    held = {
        n: {"reasons": r["reasons"]} | ({"same_as": r["same_as"]} if "same_as" in r else {})
        for n, r in mine["quarantine"].items()
    }
    return mine["clean"], held


def _more(messages: Sequence[dict], answer: dict) -> list[str]:
    visitor = [m["content"] for m in messages if m["role"] == "user"]
    replies = [m["content"] for m in messages if m["role"] == "assistant"]
    reasons = []
    if topics.crisis(visitor, replies) and postprocess.unsafe(visitor, "\n".join(replies)) == "crisis without help":
        reasons.append(NO_HELP)
    if any(map(postprocess.wrong_numbers, replies)):
        reasons.append(WRONG_NUMBER)
    if answer["feeling"] not in grid.feelings("\n".join(visitor)):
        reasons.append(OTHER_CELL)
    return reasons


def line_up(rows: Sequence[dict], file: Path) -> None:
    """Write admitted rows as ShareGPT JSONL, whole or not at all; `DATASET` takes such a file."""
    names = {"user": "human", "assistant": "gpt"}
    beside = Path(f"{file}.part")
    text = "".join(
        json.dumps(
            {k: r[k] for k in ("id", "topic", "origin")}
            | {"conversations": [{"from": names[m["role"]], "value": m["content"]} for m in r["messages"]]},
            ensure_ascii=False,
        )
        + "\n"
        for r in rows
    )
    beside.write_text(text, encoding="utf-8")
    beside.replace(file)
