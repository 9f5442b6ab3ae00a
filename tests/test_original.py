"""The published recipe is kept as it was; what we run carries only names that the installed tools know."""

import pytest
import yaml

from helpers import profile
from helpers.errors import UserError


@pytest.fixture(scope="module")
def original() -> dict:
    return yaml.safe_load((profile.FOLDER / "original.yaml").read_text(encoding="utf-8"))


def test_original_has_the_sections_of_a_profile_in_the_same_order(original):
    reference = yaml.safe_load((profile.FOLDER / f"{profile.REFERENCE}.yaml").read_text(encoding="utf-8"))
    assert list(original) == list(reference)


def test_original_keeps_the_published_flags(original):
    assert original["sft"]["train_type"] == "lora"
    assert original["sft"]["target_modules"].count(",") == 6
    assert original["sft"]["learning_rate"] == "2e-4"  # as published; YAML reads it as text
    assert original["export"]["ckpt_dir"].endswith("checkpoint-xxx")
    assert original["serve"]["cache-max-entry-count"] == 0


def test_original_cannot_be_run():
    assert "original" not in profile.names()
    with pytest.raises(UserError, match="kept to be read.*run h100-llama3.1-8b"):
        profile.load("original")


def test_the_port_keeps_the_published_numbers(original):
    port = profile.load("h100-llama3.1-8b")
    same = (
        "max_length packing lora_rank lora_alpha lora_dropout per_device_train_batch_size gradient_accumulation_steps"
    )
    for key in same.split():
        assert port.sft[key] == original["sft"][key], key
    assert port.sft["learning_rate"] == float(original["sft"]["learning_rate"])
    assert port.sft["target_modules"] == original["sft"]["target_modules"].split(",")


@pytest.mark.parametrize("name", profile.names())
def test_every_serve_key_is_an_option_of_lmdeploy(name):
    from lmdeploy.cli.serve import SubCliServe

    if "api_server" not in SubCliServe.subparsers.choices:  # the parser is shared: adding it twice raises
        SubCliServe.add_parsers()
    options = {action.dest for action in SubCliServe.subparsers.choices["api_server"]._actions}
    assert "session_len" in options
    assert set(profile.load(name).serve) <= options
