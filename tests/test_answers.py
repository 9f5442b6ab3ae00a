"""Answers kept on disk, and evaluation rows that training data repeats."""

import json
import subprocess
import sys
import threading

import pytest

from helpers.errors import UserError
from helpers.evaluation import answers, contamination, testset
from helpers.evaluation.answers import Answers
from helpers.profile import ROOT

ASK = [{"role": "user", "content": "我睡不着。"}]


def test_an_answer_is_kept_and_belongs_to_model_prompt_and_parameters(tmp_path):
    keys = {
        answers.key("a", ASK, {"max_tokens": 8}),
        answers.key("b", ASK, {"max_tokens": 8}),
        answers.key("a", ASK, {"max_tokens": 9}),
        answers.key("a", [*ASK, *ASK], {"max_tokens": 8}),
    }
    assert len(keys) == 4 and answers.key("a", ASK, {"x": 1, "y": 2}) == answers.key("a", ASK, {"y": 2, "x": 1})
    with Answers(tmp_path / "a" / "answers.sqlite") as kept:
        assert kept.get("k") is None
        kept.put("k", "")
        assert kept.remember("j", lambda: {"nats": [0.1 + 0.2]}) == {"nats": [0.1 + 0.2]}
    again = Answers(tmp_path / "a" / "answers.sqlite")
    assert again.get("k") == "" and len(again) == 2
    assert again.remember("j", lambda: pytest.fail("it was kept")) == {"nats": [0.1 + 0.2]}


def test_a_killed_run_leaves_whole_answers_and_no_other(tmp_path):
    file = tmp_path / "answers.sqlite"
    code = f"""
import itertools, pathlib
from helpers.evaluation.answers import Answers
kept = Answers(pathlib.Path({str(file)!r}))
for i in itertools.count():
    kept.put(str(i), "好" * 2000)
    print(i, flush=True)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    while int(child.stdout.readline()) < 20:
        pass
    child.kill()
    said = [int(line) for line in child.communicate()[0].split()] or [20]
    kept = Answers(file)
    assert len(kept) > said[-1] and {kept.get(str(i)) for i in range(len(kept))} == {"好" * 2000}


def test_threads_share_one_file(tmp_path):
    kept = Answers(tmp_path / "answers.sqlite")
    threads = [threading.Thread(target=kept.put, args=(str(i), "好")) for i in range(40)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(kept) == 40


def test_a_file_that_is_no_database_is_one_sentence(tmp_path):
    (tmp_path / "answers.sqlite").write_text("not a database, and long enough to be read as one" * 40)
    with pytest.raises(UserError, match="cannot be used"):
        Answers(tmp_path / "answers.sqlite")


def test_a_models_fingerprint_follows_its_files_and_not_its_name(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"weights")
        (tmp_path / name / "config.json").write_text("{}")
    same = answers.fingerprint(tmp_path / "one")
    assert same == answers.fingerprint(tmp_path / "two")
    (tmp_path / "two" / "chat_template.jinja").write_text("x")
    assert same != answers.fingerprint(tmp_path / "two")
    (tmp_path / "one" / "model.safetensors").write_bytes(b"other weights")
    assert same != answers.fingerprint(tmp_path / "one")
    (tmp_path / "one" / "model.safetensors").unlink()
    with pytest.raises(UserError, match="no model weights"):
        answers.fingerprint(tmp_path / "one")


def talk(row: dict) -> list[dict]:
    roles = {"human": "user", "gpt": "assistant"}
    return [{"role": roles[t["from"]], "content": t["value"]} for t in row["conversations"]]


@pytest.fixture
def planted(tmp_path):
    """Training data with one held-out dialogue inside, one changed a little, a quiz question and a short prompt."""
    train = [talk(row) for row in testset.load(ROOT / "data/train.jsonl")]
    val = [talk(row) for row in testset.load(ROOT / "data/val.jsonl")]
    quiz, prompt = testset.load(ROOT / "data/quiz.jsonl")[0], {"id": "short", "prompt": "我是不是疯了啊"}
    changed = [m | {"content": m["content"].replace("，", "、").replace("我", "俺")} for m in val[1]]
    plants = [
        val[0],
        changed,
        [
            {"role": "user", "content": f"考试有一题：{quiz['question']}怎么选？"},
            {"role": "assistant", "content": "嗯。"},
        ],
        [{"role": "user", "content": "昨晚我又问自己，我是不是疯了啊？"}, {"role": "assistant", "content": "没有。"}],
    ]
    file = tmp_path / "train.jsonl"
    rows = [{"messages": [{"role": "system", "content": "系统"}, *messages]} for messages in [*train, *plants]]
    file.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    items = [
        *testset.dialogues([{"id": f"v{i}", "messages": m} for i, m in enumerate(val)], "系统"),
        *({"part": "quiz", **row} for row in testset.load(ROOT / "data/quiz.jsonl")),
        *({"part": "safety", **row} for row in [*testset.load(ROOT / "data/safety.jsonl"), prompt]),
    ]
    return file, items, quiz["id"], len(train)


def test_planted_items_are_found_listed_and_left_out(planted):
    file, items, quiz_id, train = planted
    kept, left = contamination.guard(items, file)
    assert {row["id"] for row in left} == {"v0", "v1", quiz_id, "short"}
    assert {row["same_as"] for row in left} == {f"line:{train + i}" for i in range(1, 5)}
    assert len(kept) + len(left) == len(items) and kept[0]["id"] == "v2"


def test_the_shipped_evaluation_is_new_to_the_shipped_training_data(planted, tmp_path):
    _, items, _, _ = planted
    file = tmp_path / "clean.jsonl"
    rows = [{"messages": talk(row)} for row in testset.load(ROOT / "data/train.jsonl")]
    file.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    assert contamination.guard(items, file)[1] == []
