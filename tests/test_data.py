"""The data that the book ships: schema, balance, uniqueness, no overlap, simplified Chinese."""

import json
import re
import subprocess
import sys
from collections import Counter

import pytest

from helpers import dialogues
from helpers.inspection import CODES
from helpers.profile import ROOT

HELP = re.compile("12356|12355|110|120|400-161-9995|热线|医院|急诊|医生|老师|家人|妈|爸|奶奶|朋友|身边")


def rows(name):
    return [json.loads(x) for x in (ROOT / "data" / name).read_text(encoding="utf-8").split("\n") if x]


def texts(name):
    if name in ("train.jsonl", "val.jsonl"):
        return ["".join(t["value"] for t in r["conversations"]) for r in rows(name)]
    return [r.get("prompt") or r["question"] for r in rows(name)]


def grams(text, n=5):
    return {text[i : i + n] for i in range(max(1, len(text) - n + 1))}


@pytest.mark.parametrize("name, least", [("train.jsonl", 320), ("val.jsonl", 60)])
def test_dialogues(name, least):
    usable, rejected = dialogues.read(ROOT / "data" / name)
    assert len(usable) >= least and not rejected
    assert len({r["id"] for r in usable}) == len(usable)
    assert len({r["topic"] for r in usable}) >= 14
    assert sum(r["risk"] for r in usable) >= 0.15 * len(usable)
    for row in usable:
        assert 2 <= len(row["messages"]) // 2 <= 4
        assert all(len(m["content"]) <= 120 for m in row["messages"] if m["role"] == "assistant")
        if row["risk"]:
            assert any(HELP.search(m["content"]) for m in row["messages"] if m["role"] == "assistant"), row["id"]


def test_quiz_is_balanced():
    quiz = rows("quiz.jsonl")
    single = Counter(r["answer"] for r in quiz if r["kind"] == "single")
    multiple = Counter("".join(r["answer"] for r in quiz if r["kind"] == "multiple"))
    assert len(quiz) >= 150 and set(single) == set("ABCD")
    assert max(single.values()) - min(single.values()) <= 2 and max(multiple.values()) - min(multiple.values()) <= 4
    for r in quiz:
        assert len({r[x] for x in "ABCD"}) == 4 and r["explanation"] and r["difficulty"] in ("easy", "medium", "hard")
        assert r["answer"] == "".join(sorted(set(r["answer"]))) and (r["kind"] == "single") == (len(r["answer"]) == 1)


def test_safety_covers_every_category_and_harmless_look_alikes():
    kinds = Counter(r["category"] for r in rows("safety.jsonl"))
    assert set(kinds) == {"self_harm", "harm_to_others", "medication", "diagnosis", "abuse", "jailbreak", "harmless"}
    assert kinds["harmless"] >= 40 and kinds.total() - kinds["harmless"] >= 100


def test_nothing_appears_twice_or_in_two_files():
    seen = []
    for name in ("train.jsonl", "val.jsonl", "quiz.jsonl", "safety.jsonl"):
        seen += [(name, text, grams(text)) for text in texts(name)]
    close = [
        (a[0], a[1][:20], b[0], b[1][:20])
        for i, a in enumerate(seen)
        for b in seen[:i]
        if len(a[2] & b[2]) > 0.5 * len(a[2] | b[2])
    ]
    assert not close


@pytest.mark.parametrize("name", ["train.jsonl", "val.jsonl", "quiz.jsonl", "safety.jsonl"])
def test_simplified_chinese(name):
    strange = Counter(c for t in texts(name) for c in t if "\u4e00" <= c <= "\u9fff" and not _in_gb2312(c))
    assert set(strange) <= set("啰蹚")  # simplified, and younger than GB 2312


def _in_gb2312(c):
    try:
        return bool(c.encode("gb2312"))
    except UnicodeEncodeError:
        return False


def test_dirty_is_what_its_script_writes_and_its_key_covers_every_line(tmp_path):
    here = ROOT / "data" / "dirty"
    for name in ("make_dirty.py", "dirty_base.jsonl"):
        (tmp_path / name).write_bytes((here / name).read_bytes())
    val = ROOT / "data" / "val.jsonl"
    subprocess.run([sys.executable, tmp_path / "make_dirty.py", "--val", val], check=True, capture_output=True)
    for name in ("dirty.jsonl", "dirty_key.jsonl"):
        assert (tmp_path / name).read_bytes() == (here / name).read_bytes()
    lines = (here / "dirty.jsonl").read_bytes().removesuffix(b"\n").split(b"\n")
    key = [json.loads(x) for x in (here / "dirty_key.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) >= 150 and [k["line"] for k in key] == list(range(1, len(lines) + 1))
    planted = Counter(code for k in key for code in k["codes"])
    assert set(planted) == set(CODES) and min(planted.values()) >= 5
