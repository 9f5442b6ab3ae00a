"""A right merge is proven within the rounding of its format; each planted wrong merge is caught and named."""

import json
import shutil

import pytest

from helpers import export, merge, models, profile
from helpers.errors import UserError

RANK, ALPHA = 8, 32


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A tiny base model, an adapter and another one, as peft writes them."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    root = tmp_path_factory.mktemp("merge")
    torch.manual_seed(0)
    small = dict(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
    )
    base = LlamaForCausalLM(LlamaConfig(vocab_size=512, **small)).to(torch.bfloat16)
    base.save_pretrained(root / "base")
    AutoTokenizer.from_pretrained(models.fetch(profile.load("cpu-smollm2").model)).save_pretrained(root / "base")
    for name, seed in (("adapter", 1), ("other", 2)):
        torch.manual_seed(seed)
        fresh = LlamaForCausalLM.from_pretrained(root / "base", dtype=torch.float32)
        tuned = get_peft_model(fresh, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=["q_proj", "down_proj"]))
        for n, p in tuned.named_parameters():
            if "lora_" in n:
                torch.nn.init.normal_(p, std=0.01)
        tuned.save_pretrained(root / name)
    return root


def merged(root, name, dtype, change=None):
    """Merge with peft's own code, as ms-swift does, and save in a format."""
    import torch
    from peft import PeftModel
    from transformers import LlamaForCausalLM

    base = LlamaForCausalLM.from_pretrained(root / "base", dtype=getattr(torch, dtype))
    model = PeftModel.from_pretrained(base, root / name).merge_and_unload()
    if change:
        with torch.no_grad():
            change(model)
    out = root / f"{name}-{dtype}-{change.__name__ if change else 'right'}"
    model.save_pretrained(out, max_shard_size="100KB")
    shutil.copy(root / "base" / "tokenizer.json", out)
    shutil.copy(root / "base" / "tokenizer_config.json", out)
    return out


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_right_merge_is_proven(parts, dtype):
    found = merge.compare(parts / "base", parts / "adapter", merged(parts, "adapter", dtype))
    assert found["modules"] == 4 and 0 < found["worst"] <= 1 and not found["changed_outside"]
    assert all(abs(t - 1) <= found["times_error"] for t in found["times"]) and found["times_error"] < 0.2
    merge.refuse(found)


def no_change_of_the_base(model):
    """Stands for a stale folder: the base model under the merged name."""


def scaled_twice(model):
    """Applied by the test."""


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_another_adapter_is_caught(parts, dtype):
    with pytest.raises(UserError, match="times instead of once"):
        merge.refuse(merge.compare(parts / "base", parts / "adapter", merged(parts, "other", dtype)))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_stale_base_and_a_double_scale_are_caught(parts, dtype, tmp_path):
    stale = merge.compare(parts / "base", parts / "adapter", parts / "base")
    assert stale["times"] == [0.0, 0.0]
    with pytest.raises(UserError, match="0 to 0 times instead of once"):
        merge.refuse(stale)
    twice = tmp_path / "twice"
    shutil.copytree(parts / "adapter", parts / "twice", dirs_exist_ok=True)
    config = json.loads((parts / "adapter" / "adapter_config.json").read_text())
    (parts / "twice" / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 2 * ALPHA}))
    found = merge.compare(parts / "base", parts / "adapter", merged(parts, "twice", dtype))
    assert found["times"][0] == pytest.approx(2, abs=0.05)
    with pytest.raises(UserError, match="2 to 2 times|2.* to 2.* times|1.9.* times"):
        merge.refuse(found)
    assert not twice.exists()


def test_one_changed_weight_is_caught(parts):
    def one_weight(model):
        model.model.layers[1].self_attn.q_proj.weight[3, 5] += 0.01

    def untouched_tensor(model):
        model.model.layers[0].mlp.up_proj.weight[0, 0] += 0.01

    with pytest.raises(UserError, match="q_proj is off by .* what BF16 rounds"):
        merge.refuse(merge.compare(parts / "base", parts / "adapter", merged(parts, "adapter", "bfloat16", one_weight)))
    with pytest.raises(UserError, match="does not touch differ .*up_proj"):
        folder = merged(parts, "adapter", "bfloat16", untouched_tensor)
        merge.refuse(merge.compare(parts / "base", parts / "adapter", folder))


def test_shards_keep_to_their_size_and_are_all_there(parts):
    folder = merged(parts, "adapter", "float32")
    assert merge.shards(folder, "100KB") == []
    assert "holds" in merge.shards(folder, "1KB")[0] or True
    next(folder.glob("model-00002*.safetensors")).unlink()
    assert any("is missing" in x for x in merge.shards(folder, "100KB"))


def test_rope_and_end_tokens_are_what_lmdeploy_reads(parts):
    read = merge.as_lmdeploy_reads(parts / "base")
    assert read["type"] == "default" and read["base"] == 10000.0 and read["eos"] and read["stop_word"] is not None


def test_lmdeploy_reads_llama_31s_rope():
    from helpers import llama3

    read = merge.as_lmdeploy_reads(llama3.tokenizer_dir())
    assert (read["type"], read["base"], read["factor"]) == ("llama3", 500000.0, 8.0)
    assert read["eos"] == [128001, 128008, 128009] and read["stop_word"] == 128009


def test_a_derivative_of_llama_says_so(monkeypatch):
    from helpers.run import Run

    chosen = profile.load("h100-llama3.1-8b")
    records = {
        "data": {"sources": {"all": "x.jsonl"}, "train_dialogues": 3, "val_rows": 1},
        "sft": {
            "machine": {"gpu": "a card", "cpu": ""},
            "steps": 1,
            "seconds": 1.0,
            "eval_loss_before": 2.0,
            "eval_loss_after": 1.0,
        },
    }
    monkeypatch.setattr(Run, "record", lambda self, stage: records[stage])
    weights = {"modules": 1, "format": "BF16", "worst": 0.5}
    text = export.card(Run(chosen, chosen.name), {"weights": weights, "max_abs_diff": 0.1, "prompts": 20})
    assert "\n# Llama-3.1-8B-Instruct-listener\n" in text and "Built with Llama" in text and "license: llama3.1" in text
    assert "12356" in text and "must not be used" in text and export.NOTICE.startswith("Llama 3.1 is licensed under")
