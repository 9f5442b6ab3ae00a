"""Reading dialogues: every row is accounted for, every mistake is one sentence."""

import json

import pytest

from helpers import dialogues, profile, template
from helpers.errors import UserError
from helpers.run import Run

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
    reasons = ["bad_json", "role_order, no_reply", "no_reply", "empty_turn", "schema", "schema", "schema"]
    assert [r["reason"] for r in rejected] == reasons


def test_roles_become_ms_swifts_and_the_rows_own_system_prompt_is_left_out(tmp_path):
    row = {"id": 7, "conversations": [{"from": "system", "value": "你是专家"}, *GOOD["conversations"]]}
    usable, _ = dialogues.read(file(tmp_path, row))
    assert [m["role"] for m in usable[0]["messages"]] == ["user", "assistant"] and usable[0]["id"] == 7


@pytest.mark.parametrize(
    "content, sentence",
    [(b"", "is empty"), (b"{}\n{}\n", "no usable dialogue: 2 of 2 rows: schema")],
)
def test_bad_files_are_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        dialogues.read(path)


def test_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        dialogues.read(tmp_path / "nothing.jsonl")


def rows_of(*texts):
    return [{"line": i, "messages": [{"role": "user", "content": t}]} for i, t in enumerate(texts, 1)]


def test_split_repeats_itself_shares_no_dialogue_and_holds_out_eight():
    rows = rows_of(*map(str, range(40)))
    train, val = dialogues.split(rows, 0.1, 30, seed=1)
    assert (train, val) == dialogues.split(rows, 0.1, 30, seed=1)
    assert len(val) == 8 and sorted(r["line"] for r in train + val) == list(range(1, 41))


def test_one_dialogue_cannot_be_split():
    with pytest.raises(UserError, match="at least two"):
        dialogues.split(rows_of("甲"), 0.1, 30, seed=1)


class OneTokenACharacter:
    """Stands in for a template where only lengths matter."""

    def encode(self, row):
        return {"input_ids": list("".join(m["content"] for m in row["messages"]))}


def test_long_dialogues_become_pieces_of_whole_exchanges():
    messages = [{"role": r, "content": "五个字哦哦"} for r in ("user", "assistant") * 3]
    rows = [{"line": 1, "messages": messages}, {"line": 2, "messages": messages[:2]}]
    kept, rejected = dialogues.fitted(rows, OneTokenACharacter(), 25)
    assert [[len(piece["messages"]) for piece in cut] for cut in kept] == [[4, 2], [2]] and not rejected
    assert [m for piece in kept[0] for m in piece["messages"]] == messages
    kept, rejected = dialogues.fitted(rows, OneTokenACharacter(), 9)
    assert not kept and [r["line"] for r in rejected] == [1, 2]


def test_an_exchange_too_long_by_itself_is_in_no_piece():
    long = [{"role": "user", "content": "长" * 99}, {"role": "assistant", "content": "嗯"}]
    short = [{"role": "user", "content": "短"}, {"role": "assistant", "content": "嗯"}]
    assert template.pieces([*short, *long, *short], OneTokenACharacter(), 25) == [short, short]


def test_the_stage_accounts_for_every_row(tmp_path, monkeypatch):
    long = {"conversations": [{"from": "human", "value": "长" * 900}, {"from": "gpt", "value": "嗯。"}]}
    many = [
        {"conversations": [{"from": "human", "value": "".join(map(chr, range(a, a + 20)))}, GOOD["conversations"][1]]}
        for a in range(0x5317, 0x5317 + 30 * 20, 20)
    ]
    monkeypatch.setenv("DATASET", str(file(tmp_path, GOOD, GOOD, "{", long, *many)))
    run = Run(profile.load("cpu-smollm2"), tmp_path)
    record = dialogues.build(run, tmp_path)
    reasons = [json.loads(x)["reason"] for x in (tmp_path / "rejected.jsonl").read_text().splitlines()]
    assert reasons == ["duplicate of rows.jsonl:1", "bad_json", "no exchange fits into 448 tokens"]
    assert (
        record["rows_in"] == 34 == record["train_dialogues"] + record["val_rows"] + record["held_back"] + len(reasons)
    )
    trained, scored = ((tmp_path / f).read_text().splitlines() for f in ("train.jsonl", "val.jsonl"))
    assert (len(trained), len(scored)) == (23, 8) and not set(trained) & set(scored)


def test_a_dataset_too_long_for_the_profile_is_one_sentence(tmp_path, monkeypatch):
    long = {"conversations": [{"from": "human", "value": "长" * 900}, {"from": "gpt", "value": "嗯。"}]}
    monkeypatch.setenv("DATASET", str(file(tmp_path, long)))
    with pytest.raises(UserError, match="no exchange of .* fits into sft.max_length 448"):
        dialogues.build(Run(profile.load("cpu-smollm2"), tmp_path), tmp_path)


def test_a_relative_dataset_is_found_from_the_repository(monkeypatch, tmp_path):
    monkeypatch.setenv("DATASET", "data/val.jsonl")
    monkeypatch.chdir(tmp_path)
    assert dialogues.inputs(Run(profile.load("cpu-smollm2"), tmp_path))[0] == profile.ROOT / "data/val.jsonl"
