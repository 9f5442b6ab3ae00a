"""Text measures on known strings, and each against its public reference."""

import importlib

import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from helpers.evaluation import bleu, metrics, overlap

TEXTS = ["听起来你很累，最近睡得怎么样？", "一整年的准备，只差八分钟，换谁都会难受。"]
CASES = [
    ("听起来你最近很累，睡得好吗？", TEXTS[0]),
    ("准备了一整年，就差八分钟，谁都会难受。你想先说说哪一段？", TEXTS[1]),
    ("好好好好好，我在听。", "我在听，你慢慢说，好吗？"),
    ("it sounds like you are tired", TEXTS[0]),
    ("嗯。", TEXTS[1]),
    ("我们先一起深呼吸，然后把今天最难的一件事说出来。", "先深呼吸，再说今天最难的那件事，我们一起看看。"),
]
ANSWERS, REFERENCES = ([pair[i] for pair in CASES] for i in (0, 1))


def values(answers: list[str], references: list[str] = TEXTS) -> dict:
    return {name: s["score"] for name, s in metrics.similarity(answers, references).items()}


def test_every_measure_has_a_short_and_an_exact_name():
    assert list(values(TEXTS)) == list(metrics.SHORT) == list(metrics.names())
    assert "tok:zh" in metrics.names()["bleu"] and "ROUGE-L F1 by jieba word" in metrics.names()["rouge_l_words"]


def test_identical_answers_score_100():
    scores = values(TEXTS)
    assert scores.pop("length") == 1 and scores.pop("distinct_1") < 100 and scores.pop("distinct_2") <= 100
    assert scores == pytest.approx(dict.fromkeys(scores, 100))


def test_one_empty_answer_lowers_every_score_and_crashes_nothing():
    scores = values([TEXTS[0], ""])
    assert 0 < scores["bleu"] < 100 and 0 < scores["chrf"] < 100
    assert scores["rouge_l"] == scores["rouge_2_words"] == scores["chinese"] == 50


def test_all_empty_answers_score_0():
    scores = values(["", " \n"])
    assert scores.pop("length") == pytest.approx(2 / sum(map(len, TEXTS)))
    assert scores == pytest.approx(dict.fromkeys(scores, 0))


def test_english_answers_score_near_0_and_hold_no_chinese():
    scores = values(["It sounds like you are tired.", "I am sorry to hear that."])
    assert scores["bleu"] < 1 and scores["rouge_l"] < 5 and scores["chinese"] == 0


def test_no_rows_and_one_row_have_no_interval():
    assert metrics.similarity([], [])["bleu"] == {"score": None, "low": None, "high": None, "n": 0}
    assert metrics.similarity(TEXTS[:1], TEXTS[:1])["bleu"]["low"] is None


def test_bootstrap_interval_holds_the_score_and_repeats():
    one = metrics.similarity(ANSWERS, REFERENCES, seed=1)
    assert all(s["low"] <= s["score"] <= s["high"] for s in one.values())
    assert one["bleu"]["low"] < one["bleu"]["score"] < one["bleu"]["high"]
    assert one == metrics.similarity(ANSWERS, REFERENCES, seed=1)


def test_bleu_and_chrf_are_sacrebleus():
    scores = values(ANSWERS, REFERENCES)
    assert scores["bleu"] == pytest.approx(BLEU(tokenize="zh").corpus_score(ANSWERS, [REFERENCES]).score, abs=1e-6)
    assert scores["chrf"] == pytest.approx(CHRF().corpus_score(ANSWERS, [REFERENCES]).score, abs=1e-6)


class Cut:
    """A tokenizer for Google's rouge_score that cuts as the helpers do."""

    def __init__(self, cut):
        self.tokenize = lambda text: list(cut(text))


@pytest.mark.parametrize("cut", [overlap.characters, overlap.words])
@pytest.mark.parametrize(("answer", "reference"), CASES)
def test_rouge_is_googles(cut, answer, reference):
    wanted = RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=Cut(cut)).score(reference, answer)
    found = overlap.rouge(list(cut(answer)), list(cut(reference)))
    for name, theirs in zip(overlap.ROUGES, ("rouge1", "rouge2", "rougeL"), strict=True):
        assert found[name] == pytest.approx(100 * wanted[theirs].fmeasure, abs=1e-6)


def test_rouge_by_hand():
    assert overlap.rouge(list("我很难过"), list("我有点难过"))["rouge_l"] == pytest.approx(100 * 2 * 3 / (4 + 5))
    # 好 three times and once: one in common, of 3 and of 2
    assert overlap.rouge(list("好好好"), list("好吧"))["rouge_1"] == pytest.approx(100 * 2 / 5)


def test_words_are_jiebas():
    assert overlap.words("我来到北京 清华大学") == ("我", "来到", "北京", "清华大学")


def test_distinct_by_hand():
    assert overlap.distinct(["好好好好"], 1) == 25 and overlap.distinct(["好好好好"], 2) == pytest.approx(100 / 3)
    assert overlap.distinct(["我在", "我在听"], 2) == pytest.approx(100 * 2 / 3)
    assert overlap.distinct(["", "嗯"], 2) == 0


def test_four_tools_give_the_numbers_of_their_own_code():
    pairs = [(a, r) for a, r in CASES if metrics.chinese_share(a)]  # EvalScope would download for the English one
    answers, references = ([pair[i] for pair in pairs] for i in (0, 1))
    found = bleu.four(answers, references)
    assert list(found) == list(bleu.TOOLS)
    swift = importlib.import_module("swift.metrics.nlg").compute_rouge_bleu(answers, references)["bleu-4"]
    assert found["ms-swift"] == pytest.approx(swift, abs=1e-6)
    evalscope = importlib.import_module("evalscope.metrics.utils.functions").bleu_ngram_one_sample
    theirs = [evalscope(a, r)["bleu-4"] for a, r in pairs]
    assert found["EvalScope"] == pytest.approx(100 * sum(theirs) / len(theirs), abs=1e-6)
    assert len({round(score, 3) for score in found.values()}) == 4


def test_the_character_bleu_of_llama_factory_by_hand():
    # 我在听 against 我在听你: precisions 3/3, 2/2, 1/1; no 4-gram, so smoothing 3 takes 1/2; brevity exp(1 - 4/3)
    found = bleu.four(["我在听"], ["我在听你"])["LLaMA-Factory"]
    assert found == pytest.approx(100 * 0.5**0.25 * 2.718281828 ** (1 - 4 / 3), abs=1e-4)


def test_no_rows_and_empty_answers_have_four_bleus():
    assert set(bleu.four([], []).values()) == set(bleu.four([""], ["好"]).values()) == {0.0}


def test_wilson_interval_of_a_known_case():
    # Wilson's score interval for 0 of 10: 0 to z²/(n+z²) = 27.75 %
    score = metrics.proportion(0, 10)
    assert (score["low"], score["high"]) == pytest.approx((0, 27.75), abs=0.01)
    assert metrics.proportion(0, 0)["score"] is None
