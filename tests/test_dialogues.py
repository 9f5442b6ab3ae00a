"""Reading dialogues: every row is accounted for, every mistake is one sentence."""

import json

import pytest

from helpers import dialogues
from helpers.errors import UserError

GOOD = {"conversations": [{"from": "human", "value": "你好"}, {"from": "gpt", "value": "你好，想聊什么？"}]}


def file(tmp_path, *rows):
    path = tmp_path / "rows.jsonl"
    text = "".join((r if isinstance(r, str) else json.dumps(r, ensure_ascii=False)) + "\n" for r in rows)
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_in_are_rows_out_with_reasons(tmp_path):
    reverse = {"conversations": GOOD["conversations"][::-1]}
    lone = {"conversations": GOOD["conversations"][:1]}
    empty = {"conversations": [{"from": "human", "value": " "}, GOOD["conversations"][1]]}
    stranger = {"conversations": [{"from": "narrator", "value": "从前"}]}
    usable, rejected = dialogues.read(file(tmp_path, GOOD, "{", reverse, lone, empty, stranger, {"text": 1}, "[]"))
    assert len(usable) == 1 and len(rejected) == 7
    assert [r["line"] for r in rejected] == [2, 3, 4, 5, 6, 7, 8]
    assert rejected[0]["reason"] == "not JSON" and rejected[3]["reason"] == "empty turn"


def test_roles_become_ms_swifts_and_the_rows_own_system_prompt_is_left_out(tmp_path):
    row = {"id": 7, "conversations": [{"from": "system", "value": "你是专家"}, *GOOD["conversations"]]}
    usable, _ = dialogues.read(file(tmp_path, row))
    assert [m["role"] for m in usable[0]["messages"]] == ["user", "assistant"] and usable[0]["id"] == 7


@pytest.mark.parametrize(
    "content, sentence",
    [(b"", "is empty"), (b"\xb0\xa1\n", "is not UTF-8"), (b"{}\n{}\n", "no usable dialogue: 2 of 2")],
)
def test_bad_files_are_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        dialogues.read(path)


def test_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        dialogues.read(tmp_path / "nothing.jsonl")


def test_split_repeats_itself_and_shares_no_dialogue():
    rows = [{"messages": [{"role": "user", "content": str(i % 40)}]} for i in range(50)]
    train, val = dialogues.split(rows, 0.1, 30, seed=1)
    assert (train, val) == dialogues.split(rows, 0.1, 30, seed=1)
    words = [{r["messages"][0]["content"] for r in part} for part in (train, val)]
    assert len(train) + len(val) == 40 and not words[0] & words[1]
