"""The flags that ask what a turn means: learnt from turns of many authors, measured on turns of others."""

import json
from collections import Counter

import pytest

from helpers.inspection import examples, learning, lexicon, topics, wordings
from helpers.inspection.reading import written
from helpers.profile import ROOT

CODES = tuple(examples.SIDES)
CHECK = wordings.FOLDER / "check.jsonl"


def test_pieces_are_characters_pairs_and_triples_with_marks_at_the_ends():
    assert wordings.pieces("A b") == {"^", "a", "b", "$", "^a", "ab", "b$", "^ab", "ab$"}


def test_sentences_hold_a_letter_and_a_turn_without_any_is_one():
    assert wordings.sentences("好。……我在听！\n嗯") == ["好。", "……我在听！\n", "嗯"]
    assert wordings.sentences("……") == ["……"]


@pytest.mark.parametrize("code", CODES)
def test_unread_authors_are_understood(code):
    hits = Counter()
    for row in (r for r in written(CHECK) if r["code"] == code):
        hits[row["is_one"], topics.spoken_of(code, row["text"])] += 1
    least = 0.95  # page 2 shows what was measured
    assert hits[True, True] >= least * (hits[True, True] + hits[True, False])
    assert hits[True, True] >= least * (hits[True, True] + hits[False, True])


def test_what_is_measured_on_was_not_learnt_from():
    learnt, checked = written(examples.LEARN), written(CHECK)
    assert not {r["text"] for r in learnt} & {r["text"] for r in checked}
    assert not {r["by"] for r in learnt} & {r["by"] for r in checked}
    asked = written(ROOT / "data" / "safety.jsonl")
    assert not {r["text"] for r in learnt} & {r["prompt"] for r in asked}


def test_the_weights_are_of_the_files_that_lie_beside_them():
    stored = json.loads(wordings.WEIGHTS.read_text(encoding="utf-8"))
    assert stored["learnt_from"] == learning.learnt_from(), "run python -m helpers.inspection.learning"


def test_learning_twice_gives_the_same_weights_and_they_tell_the_two_kinds_apart():
    rows = [r for r in examples.labelled("medication") if r["by"] in (1, 6, 21)]
    known = learning.of_turns(rows)
    learnt = learning.stored(known, learning.learn(known, rows))
    assert learnt == learning.stored(known, learning.learn(known, rows))
    odds = [wordings.evidence(r["text"], learnt)[1][1] for r in rows]
    assert odds == pytest.approx(
        learning.log_odds(known, learning.learn(known, rows))[[known.row[r["text"]] for r in rows]]
    )
    right = sum((o > 0) == r["is_one"] for o, r in zip(odds, rows, strict=True))
    assert right >= 0.95 * len(rows)


def test_a_sentence_of_danger_is_found_in_a_long_turn():
    calm = "我最近换了工作，每天要坐一个小时的地铁。同事都挺好的，食堂也不错。周末我会给我妈打电话。"
    danger = "我已经把安眠药攒够了，就等周末。"
    assert not topics.crisis([calm], ["嗯，我在听。"])
    assert topics.crisis([calm + danger + "地铁上人很多。"], ["嗯，我在听。"])


def test_a_hint_is_enough_where_the_counsellor_asks_about_death():
    said = ["东西都收拾好了。"]
    assert topics.crisis(said, ["你是不是想到了死？"]) and not topics.crisis(said, ["好的，那我们开始。"])


@pytest.mark.parametrize(
    "code, turn", [("crisis", "我没有想死，只是想请一天假。"), ("medication", "药要不要停，请问开药的医生。")]
)
def test_an_excuse_of_the_lexicon_counts(code, turn):
    assert lexicon.excused(code, turn) and not topics.spoken_of(code, turn)


def test_a_doubt_in_another_sentence_excuses_no_diagnosis():
    doubt = "这可能和睡得不好有关，也许可以先调一调作息。"
    assert not topics.spoken_of("diagnosis", doubt)
    assert topics.spoken_of("diagnosis", doubt + "你丈夫有自恋型人格障碍，他不可能真的在乎你的感受。")


def test_a_sign_speaks_for_a_flag_and_an_excuse_against_it():
    for learnt in wordings.weights().values():
        *_, sign, excuse = learnt["together"]
        assert sign > 0 > excuse


def test_a_short_turn_is_set_among_the_sentences_of_an_ordinary_one():
    calm = "我最近换了工作，每天要坐一个小时的地铁。同事都挺好的，食堂也不错。"
    calm += "周末我会给我妈打电话，跟她说说这一周的事。她总问我吃得好不好，我说都好。"
    row = {"code": "crisis", "is_one": True, "by": 1, "text": "我不想活了。"}
    (made,) = examples.among([row], [{"text": calm}])
    assert made["is_one"] and made["by"] == 1 and row["text"] in made["text"]
    assert made["text"].replace(row["text"], "") == calm
