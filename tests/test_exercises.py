"""Every page ends with exercises whose folded solutions are code.

nbmake runs all of them with their notebooks. Where a solution needs no trained model, its claim is checked here.
"""

import ast
import json
import re
from types import SimpleNamespace

import nbformat
import pandas as pd
import pytest

from helpers import environment, llama3, models, profile, recipe
from helpers.evaluation import safety, testset
from helpers.improvement import feedback, postprocess
from helpers.profile import ROOT
from helpers.serving import command

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells(name):
    return nbformat.read(next((ROOT / "notebooks").glob(f"{name}_*.ipynb")), as_version=4).cells


def solve(name, number, **given):
    """Run a folded solution with the names that its notebook has at that point; the value of its last line."""
    (source,) = [c.source for c in cells(name) if c.id.endswith(f"-solution{number}")]
    *before, last = ast.parse(source).body
    exec(compile(ast.Module(before, []), name, "exec"), given)
    if isinstance(last, ast.Expr):
        return eval(compile(ast.Expression(last.value), name, "eval"), given)
    exec(compile(ast.Module([last], []), name, "exec"), given)
    return None


@pytest.fixture
def run(tmp_path):
    """A run of the rehearsal's profile in which no stage has run."""
    return SimpleNamespace(profile=profile.load(profile.REFERENCE), dir=lambda stage: tmp_path)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_exercises_end_the_page_and_two_of_them_are_solved_in_folded_code(path):
    page = nbformat.read(path, as_version=4).cells
    head = next(i for i, c in enumerate(page) if re.search(r"^#+ Exercises$", c.source, re.M))
    end = page[head:]
    asked = [int(n) for c in end if c.cell_type == "markdown" for n in re.findall(r"^(\d)\. ", c.source, re.M)]
    assert asked == list(range(1, len(asked) + 1)) and len(asked) >= 2
    assert sum(c.source.count("{dropdown} Solution") for c in end) == len(asked)
    folded = [i for i, c in enumerate(end) if c.cell_type == "code"]
    assert len(folded) >= 2 and end[-1].cell_type == "markdown"
    for i in folded:
        number = re.search(r"-solution(\d)$", end[i].id)[1]
        assert {"hide-cell", "solution"} <= set(end[i].metadata.tags) and end[i].metadata.jupyter.source_hidden
        assert re.findall(r"^(\d)\. ", end[i - 1].source, re.M)[-1] == number  # it stands behind its own question


def test_page_1_finds_the_lock_the_taken_port_and_the_renamed_flag(run, capsys):
    assert solve("01", 1, environment=environment) == environment.locked()["ms-swift"]
    solve("01", 2, environment=environment, run=run)
    assert re.search(r"\[WARN\] port \d+ for LMDeploy +in use", capsys.readouterr().out)
    solve("01", 3, recipe=recipe, run=run)
    said = capsys.readouterr().out
    assert "train_type" in said and "tuner_type" in said and "per_device_train_batch_size" in said


def test_page_3_trains_twice_as_many_parameters_at_twice_the_rank(run, monkeypatch, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(llama3.SHAPE_8B))
    monkeypatch.setattr(models, "fetch", lambda model: tmp_path)
    found = solve("03", 2, json=json, pd=pd, run=run)["trained parameters"]
    assert found[16] == 2 * found[8] and found[8] > 0


def test_page_6_sees_the_zero_refused(run, capsys):
    solve("06", 2, command=command, run=run)
    assert "cache_max_entry_count" in capsys.readouterr().out.replace("-", "_")


def test_page_7_guessing_is_left_behind_below_a_hundred_questions_and_hollow_words_pass():
    low = solve("07", 1, pd=pd)["low"]
    assert low[100] > 25 > low[40]
    assert "True" in str(solve("07", 2, safety=safety))
    questions = testset.load(ROOT / "data/quiz.jsonl")
    assert solve("07", 4, questions=questions) == pytest.approx(100 / 15, abs=0.1)


def test_page_8_pairs_are_fewer_than_answers_and_the_hollow_answer_passes_the_gate(run):
    rated = testset.load(ROOT / "data/ratings.jsonl")
    rows = solve("08", 2, feedback=feedback, rated=rated, run=run)
    assert 0 < rows["rows for DPO"] < rows["rows for KTO"]
    passed = solve("08", 3, postprocess=postprocess)
    assert not passed["blocked"] and passed["text"]
