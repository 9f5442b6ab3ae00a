"""Llama 3.1 without its licensed weights: Meta's token ids, the published shape, a model that loads."""

import shutil

import pytest

from helpers import llama3, models, profile, template
from helpers.errors import UserError

TEXTS = ["我最近总是睡不好。", "Hello, world!  12345", "🙂\n\n……“嗯”", "<|eot_id|>", " \t x"]


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """An empty cache, and Llama-3.1-8B's shape in small."""
    small = dict(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
    )
    monkeypatch.setenv("LISTENER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(llama3, "SHAPE_8B", llama3.SHAPE_8B | small)
    return profile.load("h100-llama3.1-8b")


def test_the_published_shape_has_the_published_number_of_parameters():
    assert llama3._parameters() == 8_030_261_248


def test_token_ids_are_metas(tiny):
    from transformers import AutoTokenizer

    fast, meta = AutoTokenizer.from_pretrained(llama3.tokenizer_dir()), llama3.tokenizer()
    for text in TEXTS:
        expected = meta.encode(text, bos=False, eos=False, allowed_special="all")
        assert fast(text, add_special_tokens=False).input_ids == expected, text
    assert fast.eos_token_id == meta.special_tokens["<|eot_id|>"]
    assert len(fast) == llama3.SHAPE_8B["vocab_size"]


def test_the_8b_template_encodes_without_its_weights(tiny):
    encoded = template.encode(
        template.load(tiny), [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "你好呀"}]
    )
    learned = [t for t in encoded["labels"] if t != -100]
    assert llama3.tokenizer().decode(learned) == "你好呀<|eot_id|>"


def test_random_weights_load_in_shards_and_have_the_shape(tiny, monkeypatch):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    monkeypatch.setattr(llama3, "SHARD_BYTES", 2**24)
    folder = models.fetch(tiny.model | {"weights": "random"})
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert len(list(folder.glob("*.safetensors"))) > 1
    assert model.num_parameters() == llama3._parameters() and model.dtype == torch.bfloat16
    prompt = [{"role": "user", "content": "你好"}]
    ids = AutoTokenizer.from_pretrained(folder).apply_chat_template(
        prompt, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    assert torch.isfinite(model(**ids).logits).all()


def test_random_weights_need_disk(tiny, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(UserError, match="random weights .* GiB free"):
        models.fetch(tiny.model | {"weights": "random"})
    assert not list(models.cache_dir().glob("*random*"))


def test_random_weights_of_another_shape_are_refused():
    with pytest.raises(UserError, match="write `weights: real`"):
        models.fetch(profile.load("cpu-smollm2").model | {"weights": "random"})
