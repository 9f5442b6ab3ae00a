"""The dial: same keys everywhere, and one clear sentence for each mistake."""

import pytest
import yaml

from helpers import profile
from helpers.errors import UserError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the reference profile and a copy of it to spoil."""
    text = (profile.FOLDER / f"{profile.REFERENCE}.yaml").read_text(encoding="utf-8")
    (tmp_path / f"{profile.REFERENCE}.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(profile, "FOLDER", tmp_path)

    def spoil(old: str, new: str) -> str:
        assert old in text
        (tmp_path / "mine.yaml").write_text(text.replace(old, new), encoding="utf-8")
        return "mine"

    return spoil


def test_every_profile_loads_and_has_the_same_keys_in_the_same_order():
    shapes = []
    for name in profile.names():
        sections = yaml.safe_load((profile.FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
        assert profile.load(name).name == name
        shapes.append({s: list(keys) for s, keys in sections.items()})
    assert len(shapes) == 3
    assert all(shape == shapes[0] for shape in shapes)


def test_unknown_profile_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'cpu-smollm2'"):
        profile.load("cpu-smolm2")


def test_original_is_refused_with_its_port():
    with pytest.raises(UserError, match="h100-llama3.1-8b"):
        profile.load("original")


def test_misspelt_key_names_the_nearest(folder):
    with pytest.raises(UserError, match=r"sft\.lora_rnk.*'lora_rank'"):
        profile.load(folder("lora_rank", "lora_rnk"))


def test_renamed_flag_of_the_published_recipe_is_named(folder):
    with pytest.raises(UserError, match="unknown key sft.train_type.*'tuner_type'"):
        profile.load(folder("tuner_type", "train_type"))


def test_missing_section(folder):
    with pytest.raises(UserError, match="unknown section 'serv'; did you mean 'serve'"):
        profile.load(folder("\nserve:", "\nserv:"))


def test_broken_yaml_names_the_line(folder):
    with pytest.raises(UserError, match=r"mine.yaml line \d+ is not valid YAML"):
        profile.load(folder("# Keys under", "a: [\n# Keys under"))


def test_without_cuda_the_rehearsal_is_chosen_with_its_reason(monkeypatch):
    monkeypatch.delenv("PROFILE", raising=False)
    monkeypatch.setattr(profile, "gpu_memory_gib", lambda: 0.0)
    assert str(profile.resolve()) == "cpu-smollm2 (no CUDA device; set PROFILE to override)"


@pytest.mark.parametrize(
    "memory, name", [(79.1, "h100-llama3.1-8b"), (23.5, "rtx4090-llama3.1-8b-qlora"), (8.0, "cpu-smollm2")]
)
def test_the_largest_profile_that_fits_is_chosen(monkeypatch, memory, name):
    monkeypatch.delenv("PROFILE", raising=False)
    monkeypatch.setattr(profile, "gpu_memory_gib", lambda: memory)
    assert profile.resolve().name == name


def test_profile_variable_wins(monkeypatch):
    monkeypatch.setenv("PROFILE", "h100-llama3.1-8b")
    assert profile.resolve().reason == "set by PROFILE"


def test_every_sft_and_export_key_is_an_argument_of_ms_swift():
    for name in profile.names():
        chosen = profile.load(name)
        assert set(chosen.sft) <= profile._upstream("sft")
        assert set(chosen.export) <= profile._upstream("export")
