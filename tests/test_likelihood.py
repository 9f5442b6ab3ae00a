"""Perplexity and option letters on a tiny Llama: against transformers' own loss, and a planted favourite letter."""

import itertools
import math

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from helpers import models, profile, template
from helpers.errors import UserError
from helpers.evaluation import choices, likelihood, significance

PROFILE = profile.load(profile.REFERENCE)
SINGLE = {
    **{"id": "q1", "kind": "single", "question": "睡前一直刷手机，最先试什么？", "answer": "C"},
    **{"A": "喝酒", "B": "熬夜", "C": "把手机放到客厅", "D": "加药"},
}
MULTIPLE = SINGLE | {"id": "q2", "kind": "multiple", "answer": "BC"}
THREE = {"id": "q3", "kind": "single", "question": "几个？", "A": "一", "B": "二", "C": "三", "answer": "A"}


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(models.fetch(PROFILE.model))


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(0)
    shape = dict(hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=3, head_dim=16)
    config = LlamaConfig(vocab_size=len(tokenizer), num_key_value_heads=3, initializer_range=0.3, **shape)
    return LlamaForCausalLM(config).double().eval()


def test_surprise_is_the_loss_of_transformers(model):
    own = template.load(PROFILE)
    talks = [
        [{"role": "user", "content": "我睡不着。"}, {"role": "assistant", "content": "躺下时在想什么？"}],
        [{"role": "user", "content": "好累"}, {"role": "assistant", "content": "辛苦了。今天发生了什么，愿意说说吗？"}],
    ]
    encoded = [template.encode(own, talk) for talk in talks]
    rows = likelihood.surprise(model, encoded, [likelihood.replies(talk) for talk in talks])
    for row, one in zip(rows, encoded, strict=True):
        ids, labels = (torch.tensor([one[k]]) for k in ("input_ids", "labels"))
        assert row[0] / row[1] == pytest.approx(model(input_ids=ids, labels=labels).loss.item(), abs=1e-6)
    assert rows[:, 2].tolist() == [8, 18]
    found = {name: significance.interval(sums) for name, sums in likelihood.perplexity(rows).items()}
    assert found["perplexity"]["score"] == pytest.approx(math.exp(rows[:, 0].sum() / rows[:, 1].sum()))
    assert found["perplexity_character"]["score"] == pytest.approx(math.exp(rows[:, 0].sum() / 26))
    assert found["perplexity"]["n"] == 2


def test_no_dialogue_has_no_perplexity(model):
    rows = likelihood.surprise(model, [], [])
    assert significance.interval(likelihood.perplexity(rows)["perplexity"])["score"] is None


def test_the_next_token_is_the_same_with_and_without_padding(model, tokenizer):
    prompts = ["你好", "我最近总是睡不好，一躺下就想白天的事。", "嗯", "A. 一\nB. 二"]
    together = likelihood.next_token(model, tokenizer, prompts)
    for prompt, row in zip(prompts, together, strict=True):
        ids = torch.tensor([tokenizer(prompt, add_special_tokens=False)["input_ids"]])
        alone = model(input_ids=ids).logits[0, -1].log_softmax(-1).detach().numpy()
        assert row == pytest.approx(alone, abs=1e-6)


def test_a_beginning_that_prompts_share_is_read_once_and_changes_nothing(model, tokenizer):
    begin = "睡前一直刷手机，最先试什么？"
    prompts = [f"{begin}A. 喝酒", f"{begin}A. 把手机放到客厅", begin, f"{begin}B. 熬夜"]
    together = likelihood.next_token(model, tokenizer, prompts)
    assert together == pytest.approx(
        np.concatenate([likelihood.next_token(model, tokenizer, [p]) for p in prompts]), abs=1e-6
    )
    same = likelihood.next_token(model, tokenizer, [begin, begin])
    assert same[0] == pytest.approx(together[2], abs=1e-6) and same[1] == pytest.approx(same[0], abs=1e-6)


def test_each_option_stands_once_behind_each_letter():
    shown = [choices.wording(THREE, r).splitlines()[1:4] for r in range(3)]
    assert shown[0] == ["A. 一", "B. 二", "C. 三"] and shown[1] == ["A. 三", "B. 一", "C. 二"]
    assert {line for lines in shown for line in lines} == {f"{x}. {t}" for x in "ABC" for t in "一二三"}


def test_a_favourite_letter_cannot_score():
    knows = np.log([0.1, 0.2, 0.6, 0.1])  # of the options
    favours = np.array([0.0, 9.0, 0.0, 0.0])  # of the letters: B, whatever stands there
    rotated = np.array([[knows[(letter - r) % 4] + favours[letter] for letter in range(4)] for r in range(4)])
    assert choices.choose(rotated[0], "single") == "B"
    assert choices.choose(choices.average(rotated), "single") == "C"
    assert choices.average(rotated) - choices.average(rotated)[0] == pytest.approx(knows - knows[0])


def test_several_letters_are_chosen_above_an_even_share():
    assert choices.choose(np.log([0.4, 0.05, 0.35, 0.2]), "multiple") == "AC"
    assert choices.choose(np.log([0.25] * 4), "multiple") == "A"


def test_elastic_accuracy():
    assert [choices.elastic(*x) for x in (("AC", "AC"), ("A", "AC"), ("AB", "AC"), ("B", "AC"))] == [1, 0.5, 0, 0]
    assert choices.elastic("", "AC") == 0


def test_chance_counts_the_options():
    assert choices.chance([SINGLE]) == 25 and choices.chance([MULTIPLE]) == pytest.approx(100 / 15)
    assert choices.chance([SINGLE, THREE]) == pytest.approx((25 + 100 / 3) / 2)


def test_elastic_chance_is_the_mean_over_all_guesses():
    sets = [set(c) for n in range(1, 5) for c in itertools.combinations("ABCD", n)]
    mean = np.mean([choices.elastic("".join(s), MULTIPLE["answer"]) for s in sets])
    assert len(sets) == 15 and choices.chance([MULTIPLE], elastically=True) == pytest.approx(100 * mean)


def test_questions_are_scored_by_the_letters_of_a_real_tokenizer(model, tokenizer):
    rows = choices.score(model, tokenizer, [SINGLE, MULTIPLE, THREE], PROFILE.sft["system"])
    assert [r["id"] for r in rows] == ["q1", "q2", "q3"] and list(rows[2]["scores"]) == ["A", "B", "C"]
    prompt = choices._prompt(tokenizer, choices.wording(THREE, 0), PROFILE.sft["system"])
    tokens = choices.letter_tokens(tokenizer, prompt, 3)
    assert [tokenizer.decode([t]) for t in tokens] == ["A", "B", "C"]
    found = likelihood.next_token(model, tokenizer, [prompt])[0, tokens]
    assert choices.choose(found, "single") == rows[2]["unrotated"]


def test_a_tokenizer_that_joins_letters_is_refused():
    def joins(text, add_special_tokens):
        return {"input_ids": [len(text)]}

    with pytest.raises(UserError, match="joins"):
        choices.letter_tokens(joins, "答案：", 2)

    def alike(text, add_special_tokens):
        return {"input_ids": [1] * len(text)}

    with pytest.raises(UserError, match="begins two letters alike"):
        choices.letter_tokens(alike, "答案：", 2)
