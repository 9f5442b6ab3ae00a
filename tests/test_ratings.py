"""Ratings: clicks that survive a killed process, blind sides, undo, export, and one sentence for each broken file."""

import json
import os
import signal
import subprocess
import sys

import pytest

from helpers.errors import UserError
from helpers.evaluation import agreement
from helpers.evaluation.rubric import AXES
from helpers.improvement import ratings
from helpers.improvement.rating_box import RatingBox, sides
from helpers.profile import ROOT

SAID = [{"role": "system", "content": "系统"}, {"role": "user", "content": "我又失眠了。"}]
ROWS = [{"id": f"r{i}", "messages": SAID, "base": f"坏{i}", "tuned": f"好{i}"} for i in range(4)]
PAIRS = ratings.pairs(ROWS)


@pytest.fixture
def store(tmp_path):
    made = ratings.Store(tmp_path / "some" / "ratings.sqlite")
    yield made
    made.close()


def test_pairs_are_different_answers_without_names_and_without_the_system_prompt():
    same = {"id": "s", "messages": SAID, "base": "嗯", "tuned": "嗯"}
    failed = {"id": "f", "messages": SAID, "base": None, "tuned": "嗯"}
    assert [p["item"][:2] for p in ratings.pairs([*ROWS, same, failed, {"id": "q", "base": "A", "tuned": "B"}])] == [
        f"r{i}" for i in range(4)
    ]
    assert PAIRS[0]["messages"] == SAID[1:] and len(PAIRS[0]["answers"]) == 2
    assert not any(word in name for name in PAIRS[0]["answers"] for word in ("base", "tuned"))
    changed = ratings.pairs([ROWS[0] | {"tuned": "另一句"}])[0]
    assert not set(changed["answers"]) & set(PAIRS[0]["answers"]) and changed["item"] != PAIRS[0]["item"]


def test_sides_are_drawn_by_the_seed_and_stay():
    left = [sides(p, "one", 0)[0] for p in PAIRS * 2]
    assert left[:4] == left[4:]
    many = ratings.pairs([r | {"id": str(n)} for n in range(60) for r in ROWS[:1]])
    first = [p["answers"][sides(p, "one", 0)[0]]["model"] for p in many]
    assert 15 < first.count("base") < 45
    assert first != [p["answers"][sides(p, "one", 1)[0]]["model"] for p in many]


def test_a_click_outlives_a_kernel_that_is_killed(tmp_path):
    code = f"""
import os, sys
from helpers.improvement import ratings
from helpers.improvement.rating_box import RatingBox
box = RatingBox(ratings.Store({str(tmp_path / "r.sqlite")!r}), ratings.pairs({ROWS!r}), "one")
box.press("321")
print("clicked", flush=True)
sys.stdin.read()
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "clicked\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    box = RatingBox(ratings.Store(tmp_path / "r.sqlite"), PAIRS, "one")
    assert [box.scales["A", axis].value for axis in list(AXES)[:3]] == [3, 2, 1]
    assert box.scales["A", list(AXES)[3]].value is None and len(box.store.given("one")) == 3


def test_the_mouse_and_the_keys_do_the_same(store):
    box = RatingBox(store, PAIRS, "mouse")
    for scale in box.scales.values():
        scale.value = 2
    box.better.value = 1
    other = RatingBox(store, PAIRS, "keys")
    other.keys.value = "2222 2222b"
    assert other.better.value == 1
    assert "1 finished" in box.head.value and "1 finished" in other.head.value
    assert list(store.given("mouse").values())[:8] == list(store.given("keys").values())[:8] == [2] * 8
    other.keys.value += "n"
    assert "pair 2 of 4" in other.head.value and other.scales["A", "empathy"].value is None
    other.keys.value += "pppp9x"
    assert "pair 1 of 4" in other.head.value and other.scales["A", "empathy"].value == 2


def test_keys_that_come_while_others_are_on_their_way_count_once(store):
    box = RatingBox(store, PAIRS, "one")
    for text in ("3", "31", "31", "3120", "312", "", "0"):  # typed, echoed, typed fast, two taken away, typed anew
        box.keys.value = text
    assert [s.value for s in box.scales.values()] == [3, 1, 2, 0, 0, None, None, None]


def test_undo_takes_back_the_last_click_and_goes_to_its_pair(store):
    box = RatingBox(store, PAIRS, "one")
    box.press("22222222a")
    box.press("n3")
    box.press("u")
    assert "pair 2" in box.head.value and len(store.given("one")) == 9
    box.press("u")
    assert "pair 1" in box.head.value and box.better.value is None and "0 finished" in box.head.value
    box.scales["A", "empathy"].value = 0
    box.press("u")
    assert box.scales["A", "empathy"].value == 2  # what was clicked before it holds again
    RatingBox(store, PAIRS, "two").press("u")
    assert len(store.given("one")) == 8


def test_a_closed_page_opens_at_the_first_open_pair(store):
    RatingBox(store, PAIRS, "one").press("22222222a" + "n" + "1111")
    again = RatingBox(store, PAIRS, "one")
    assert "pair 2 of 4, 1 finished" in again.head.value
    assert [again.scales["A", axis].value for axis in AXES] == [1] * 4
    assert "pair 1 of 4, 0 finished" in RatingBox(store, PAIRS, "two").head.value


def test_what_is_shown_is_text_and_names_the_hotline(store):
    pair = ratings.pairs([{"id": "x", "messages": SAID, "base": "<script>1</script>", "tuned": "好"}])
    box = RatingBox(store, pair, "<b>me</b>")
    shown = "".join(w.value for w in box.texts.values()) + box.head.value
    assert "<script>" not in shown and "<b>me" not in shown and "base" not in shown and "tuned" not in shown
    assert "12356" in box.box.children[0].value
    assert "nothing to rate" in RatingBox(store, [], "me").head.value


def test_finished_ratings_are_exported_whole_and_read_again(store, tmp_path):
    for rater, keys in (("one", "01230123b"), ("two", "0123333="), ("three", "01")):
        RatingBox(store, PAIRS, rater).press(keys)
    file = tmp_path / "ratings.jsonl"
    assert store.export(file) == 3 and not list(tmp_path.glob("*.part"))
    rows = ratings.load(file)
    assert [(r["rater"], list(r["scores"].values())) for r in rows][:1] == [("one", [0, 1, 2, 3])]
    assert {r["model"] for r in rows if r["rater"] == "one"} == {"base", "tuned"}
    right = sides(PAIRS[0], "one", 0)[1]
    assert {r["id"]: r["better"] for r in rows if r["rater"] == "one"}[right] is True
    assert all(r["messages"] == SAID[1:] and r["origin"] == ratings.ORIGIN for r in rows)


def test_two_raters_agree_or_not(store):
    for rater, keys in (("one", "01233210"), ("two", "01233210"), ("three", "32100123")):
        box = RatingBox(store, PAIRS, rater, seed=1)
        order = {side: sides(PAIRS[0], rater, 1)[i] for i, side in enumerate("AB")}
        keys = keys if order["A"] == sides(PAIRS[0], "one", 1)[0] else keys[4:] + keys[:4]
        box.press(keys)
    one, two, three = (store.scores(name) for name in ("one", "two", "three"))
    assert agreement.by_axis(one, two)["empathy"]["score"] == pytest.approx(1)
    assert agreement.by_axis(one, three)["empathy"]["score"] < 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("{", "line 2 is not JSON"),
        ({"scores": {"empathy": 5}}, "line 2: empathy is 5; a score is 0, 1, 2 or 3"),
        ({"scores": {"empathy": True}}, "line 2: empathy is True"),
        ({"scores": {"kindness": 1}}, "line 2: unknown axis 'kindness'; there are: professionalism, empathy"),
        ({"scores": {"empathy": 1}}, "line 2: no score for professionalism, usefulness, fluency"),
        ({"scores": None}, "line 2: `scores` must be an object"),
        ({"messages": []}, "line 2: `messages` must be the talk"),
        ({"messages": [{"role": "assistant", "content": "嗯"}]}, "line 2: `messages` must end with the visitor"),
        ({"answer": " "}, "line 2: .* `answer` must be a text"),
    ],
)
def test_a_broken_file_of_ratings_names_the_line(tmp_path, change, says):
    good = {"messages": SAID, "answer": "嗯", "scores": dict.fromkeys(AXES, 2)}
    second = change if isinstance(change, str) else json.dumps(good | change)
    (tmp_path / "r.jsonl").write_text(json.dumps(good) + "\n" + second + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=says):
        ratings.load(tmp_path / "r.jsonl")


def test_what_is_no_file_of_ratings_is_one_sentence(tmp_path, store):
    with pytest.raises(UserError, match="does not exist"):
        ratings.load(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(UserError, match="holds no ratings"):
        ratings.load(tmp_path / "empty.jsonl")
    (tmp_path / "x.sqlite").write_text("no database " * 99)
    with pytest.raises(UserError, match="holds no ratings .* move it away"):
        ratings.Store(tmp_path / "x.sqlite")
    with pytest.raises(UserError, match="empathy is 4"):
        store.put("one", "x", "empathy", 4)
    with pytest.raises(UserError, match="unknown axis"):
        store.put("one", "x", "warmth", 1)


def test_the_shipped_ratings_are_whole_marked_and_new():
    rows = ratings.load(ROOT / "data" / "ratings.jsonl")
    assert {r["origin"] for r in rows} == {"written for this book"}
    assert 60 <= len({r["id"] for r in rows}) <= 120 and len({r["rater"] for r in rows}) == 2
    danger = [r for r in rows if r["risk"] and r["kind"] == "good"]
    assert len(danger) >= 6 and all("12356" in r["answer"] or "110" in r["answer"] for r in danger)
