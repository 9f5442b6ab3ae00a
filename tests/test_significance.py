"""Intervals, paired tests and Holm's correction, against scipy and against numbers worked out by hand."""

import numpy as np
import pytest
from scipy.stats import bootstrap, permutation_test

from helpers.evaluation import significance

VALUES = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]


def test_the_interval_of_a_mean_is_scipys():
    found = significance.interval(significance.mean(VALUES), seed=7)
    rng = np.random.default_rng(7)
    wanted = bootstrap((VALUES,), np.mean, n_resamples=significance.RESAMPLES, method="BCa", rng=rng)
    assert found["score"] == pytest.approx(np.mean(VALUES))
    assert (found["low"], found["high"]) == pytest.approx(tuple(wanted.confidence_interval), abs=1e-6)
    assert found == significance.interval(significance.mean(VALUES), seed=7)


def test_no_rows_one_row_and_rows_all_alike():
    assert significance.interval(significance.mean([])) == {"score": None, "low": None, "high": None, "n": 0}
    assert significance.interval(significance.mean([5]))["low"] is None
    alike = significance.interval(significance.mean([2, 2, 2]))
    assert (alike["low"], alike["score"], alike["high"]) == (2, 2, 2)
    assert significance.paired(significance.mean([]), significance.mean([]))["p"] is None
    assert significance.paired(significance.mean([1]), significance.mean([2]))["p"] is None


def test_a_ratio_is_one_of_sums():
    assert significance.interval(significance.ratio([1, 3], [2, 2]))["score"] == 1
    assert significance.interval(significance.ratio([1, 3], [0, 0]))["score"] == 4


def test_the_paired_p_is_the_exact_permutation_test():
    tuned = [v + d for v, d in zip(VALUES, [1, 2, -1, 3, 0.5, 1, 2, -0.5], strict=True)]
    found = significance.paired(significance.mean(VALUES), significance.mean(tuned))
    wanted = permutation_test(
        (tuned, VALUES), lambda x, y: np.mean(x) - np.mean(y), permutation_type="samples", n_resamples=np.inf
    )
    assert found["p"] == pytest.approx(wanted.pvalue, abs=1e-6)
    assert found["difference"] == pytest.approx(1.0)
    assert found["low"] < found["difference"] < found["high"]


def test_eight_rows_that_all_improve_have_p_of_2_in_256():
    tuned = [v + 1 + i / 10 for i, v in enumerate(VALUES)]
    assert significance.paired(significance.mean(VALUES), significance.mean(tuned))["p"] == pytest.approx(2 / 256)


def test_the_same_answers_twice_are_no_difference():
    found = significance.paired(significance.mean(VALUES), significance.mean(VALUES))
    assert (found["difference"], found["low"], found["high"], found["p"]) == (0, 0, 0, 1)
    assert "inside the noise" in significance.words(found, found["p"])


def test_rows_that_are_not_pairs_are_refused():
    with pytest.raises(ValueError, match="not pairs"):
        significance.paired(significance.mean([1, 2]), significance.mean([1]))


def test_pass_or_fail_is_mcnemars_exact_test():
    base, tuned = [True] * 5 + [True] + [False] * 9, [True] * 5 + [False] + [True] * 9
    found = significance.passes(base, tuned)
    assert found["p"] == pytest.approx(2 * 11 / 2**10)  # 1 against 9: twice (1 + 10) of 1024
    assert (found["only_base"], found["only_tuned"], found["n"]) == (1, 9, 15)
    assert found["difference"] == pytest.approx(100 * 8 / 15)
    assert significance.passes([True] * 4, [True] * 4)["p"] == 1
    assert significance.passes([], [])["p"] is None


def test_holm_gives_the_numbers_of_r():
    # R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
    found = significance.holm({"a": 0.01, "b": 0.04, "none": None, "c": 0.03, "d": 0.005})
    assert found["none"] is None
    assert [found[k] for k in "abcd"] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert significance.holm({"a": 0.7, "b": 0.9}) == {"a": 1.0, "b": 1.0}


def test_words_claim_no_more_than_the_numbers():
    found = {"difference": 3.21, "low": 1.0, "high": 5.0}
    assert significance.words(found, 0.01) == "tuned is higher: +3.2 [1.0, 5.0], p = 0.010"
    assert significance.words(found | {"difference": -3.21}, 0.0001, 4).startswith("tuned is lower: -3.2")
    assert significance.words(found, 0.0001, 4).endswith("p < 0.001, Holm over 4")
    assert significance.words(found, 0.05).startswith("inside the noise")
    assert significance.words(found, 0.01, better=1).startswith("tuned is better: +3.2")
    assert significance.words(found, 0.01, better=-1, name="kto").startswith("kto is worse: +3.2")
    assert significance.words(found, None) == "too few rows to tell"


def test_noise_is_seldom_called_a_difference():
    dice = np.random.default_rng(1)
    called = sum(
        significance.paired(*(significance.mean(dice.normal(size=8)) for _ in range(2)))["p"] < significance.LEVEL
        for _ in range(60)
    )
    assert called <= 8  # 3 are expected; more than 8 come once in two hundred
