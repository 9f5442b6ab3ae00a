"""A right merge is proven within the rounding of its format; each planted wrong merge is caught and named."""

import json
import shutil

import pytest

from helpers import model_card, models, profile
from helpers.errors import UserError
from helpers.merge import folder, predictions, weights

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
    tokenizer = AutoTokenizer.from_pretrained(models.fetch(profile.load("cpu-smollm2").model))
    tokenizer.save_pretrained(root / "base")
    base = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **small)).to(torch.bfloat16)
    base.save_pretrained(root / "base")
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
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(root / "base" / name, out)
    return out


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_right_merge_is_proven(parts, dtype):
    found = weights.compare(parts / "base", parts / "adapter", merged(parts, "adapter", dtype))
    assert found["modules"] == 4 and 0 < found["worst"] <= 1 and not found["changed_outside"]
    assert all(abs(t - 1) <= found["times_error"] for t in found["times"]) and found["times_error"] < 0.2
    weights.refuse(found)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_another_adapter_is_caught(parts, dtype):
    with pytest.raises(UserError, match="times instead of once"):
        weights.refuse(weights.compare(parts / "base", parts / "adapter", merged(parts, "other", dtype)))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_stale_base_and_a_double_scale_are_caught(parts, dtype):
    stale = weights.compare(parts / "base", parts / "adapter", parts / "base")
    assert stale["times"] == [0.0, 0.0]
    with pytest.raises(UserError, match="0 to 0 times instead of once"):
        weights.refuse(stale)
    shutil.copytree(parts / "adapter", parts / "twice", dirs_exist_ok=True)
    config = json.loads((parts / "adapter" / "adapter_config.json").read_text())
    (parts / "twice" / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 2 * ALPHA}))
    found = weights.compare(parts / "base", parts / "adapter", merged(parts, "twice", dtype))
    assert found["times"][0] == pytest.approx(2, abs=0.05)
    with pytest.raises(UserError, match="times instead of once"):
        weights.refuse(found)


def test_an_adapter_that_is_more_than_lora_is_one_sentence(parts, tmp_path):
    config = json.loads((parts / "adapter" / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {"use_dora": True}))
    with pytest.raises(UserError, match=r"more than plain LoRA \(use_dora\)"):
        weights.loras(tmp_path)


def test_one_changed_weight_is_caught(parts):
    def one_weight(model):
        model.model.layers[1].self_attn.q_proj.weight[3, 5] += 0.01

    def untouched_tensor(model):
        model.model.layers[0].mlp.up_proj.weight[0, 0] += 0.01

    with pytest.raises(UserError, match="q_proj is off by .* what BF16 rounds"):
        weights.refuse(
            weights.compare(parts / "base", parts / "adapter", merged(parts, "adapter", "bfloat16", one_weight))
        )
    with pytest.raises(UserError, match="does not touch differ .*up_proj"):
        other = merged(parts, "adapter", "bfloat16", untouched_tensor)
        weights.refuse(weights.compare(parts / "base", parts / "adapter", other))


PROMPTS = [[{"role": "user", "content": text}] for text in ("我睡不好。", "和妈妈吵架了。", "Hello there", "累")]


def predicted(root, model, adapter="adapter", prompts=PROMPTS):
    found = predictions.rows(root / "base", root / adapter, model, prompts)
    return found, predictions.summary(found)


@pytest.mark.parametrize(("dtype", "kind"), [("float32", "F32"), ("bfloat16", "BF16")])
def test_a_right_merge_predicts_within_what_its_format_rounds(parts, dtype, kind):
    found, summed = predicted(parts, merged(parts, "adapter", dtype))
    predictions.refuse(summed)
    saved, chance = predictions.of(summed, predictions.SAVED), predictions.of(summed, predictions.BY_CHANCE)
    assert saved["format"] == kind and 0 < saved["mean_kl"] < chance["mean_kl"] < 1e-3
    assert saved["same_answer"] == len(PROMPTS) or saved["tie"] < 2 * saved["max_abs_diff"]
    shared = {r["tokens"] - len(r["kl"]) for r in found}  # positions of the beginning that all prompts share
    assert len(shared) == 1 and 0 < shared.pop() < min(r["tokens"] for r in found) - predictions.ANSWER
    both = {(r["format"], r["weights"]) for r in summed}
    other = "BF16" if kind == "F32" else "F32"
    assert {(kind, predictions.SAVED), (other, predictions.NEAREST), (other, predictions.BY_CHANCE)} <= both


@pytest.mark.parametrize(("wrong", "dtype"), [("other", "bfloat16"), ("twice", "float32"), ("base", "bfloat16")])
def test_the_predictions_show_each_planted_wrong_merge(parts, dtype, wrong):
    shutil.copytree(parts / "adapter", parts / "twice", dirs_exist_ok=True)
    config = json.loads((parts / "adapter" / "adapter_config.json").read_text())
    (parts / "twice" / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 2 * ALPHA}))
    model = parts / "base" if wrong == "base" else merged(parts, wrong, dtype)
    _, summed = predicted(parts, model, prompts=PROMPTS[:1])
    with pytest.raises(UserError, match="its predictions differ by .* nats a token"):
        predictions.refuse(summed)


@pytest.mark.parametrize(("kind", "dtype"), [("BF16", "bfloat16"), ("F32", "float32"), ("F16", "float16")])
def test_rounding_is_torchs_and_chance_takes_a_neighbour_without_bias(kind, dtype):
    import torch

    torch.manual_seed(0)
    exact = torch.randn(200_000, dtype=torch.float64)
    exact = exact[exact.abs() > 1e-3]  # normal numbers, in half precision too
    near = predictions.nearest(exact, kind)
    torchs = exact.to(getattr(torch, dtype)).double()  # which rounds to float32 first, and some numbers twice
    assert (near == torchs).double().mean() > 0.999 and ((near - exact).abs() <= (torchs - exact).abs()).all()
    chance = predictions.by_chance(exact, kind, torch.Generator().manual_seed(0))
    step = predictions._step(exact, kind)
    assert torch.equal(chance.to(getattr(torch, dtype)).double(), chance) and ((chance - exact).abs() < step).all()
    error, nearest = (chance - exact) / step, (near - exact) / step
    assert abs(error.mean()) < 6 * error.std() / len(error) ** 0.5
    assert (error.square().mean() / nearest.square().mean()).item() == pytest.approx(2, rel=0.03)


def test_shards_keep_to_their_size(parts):
    model = merged(parts, "adapter", "float32")
    assert all(s["within_limit"] for s in folder.shards(model, "100KB"))
    assert not all(s["within_limit"] for s in folder.shards(model, "1KB"))
    total = sum(s["bytes"] for s in folder.shards(model, "1GiB"))
    assert total == json.loads((model / "model.safetensors.index.json").read_text())["metadata"]["total_size"]


def cut(file):
    file.write_bytes(file.read_bytes()[:-100])


def test_what_is_cut_off_or_gone_is_one_sentence(parts, tmp_path):
    model, adapter = shutil.copytree(merged(parts, "adapter", "float32"), tmp_path / "m"), tmp_path / "a"
    folder.check_model(model)
    shard = next(model.glob("model-00002*.safetensors"))
    cut(shard)
    with pytest.raises(UserError, match=r"model-00002.*safetensors is cut off \(\d+ bytes of at least \d+\)"):
        folder.check_model(model)
    for left in (b"", b"\x10", b"\xff" * 12):
        shard.write_bytes(left)
        with pytest.raises(UserError, match="is cut off"):
            folder.check_model(model)
    shard.unlink()
    with pytest.raises(UserError, match="model-00002.* is missing or lacks"):
        folder.check_model(model)
    (model / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="holds no tokenizer"):
        folder.check_model(model)
    with pytest.raises(UserError, match="is no adapter .no adapter_config.json"):
        folder.check_adapter(adapter, parts / "base")
    shutil.copytree(parts / "adapter", adapter)
    folder.check_adapter(adapter, parts / "base")
    cut(adapter / "adapter_model.safetensors")
    with pytest.raises(UserError, match="adapter_model.safetensors is cut off"):
        folder.check_adapter(adapter, parts / "base")


def test_an_adapter_of_another_base_is_one_sentence(parts, tmp_path):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    small = dict(hidden_size=32, intermediate_size=48, num_attention_heads=2, num_key_value_heads=1)
    LlamaForCausalLM(LlamaConfig(vocab_size=512, num_hidden_layers=2, **small)).save_pretrained(tmp_path / "base")
    with pytest.raises(UserError, match=r"another base model: .*_proj is \[32, 48\], the adapter's \[8, 96\]"):
        folder.check_adapter(parts / "adapter", tmp_path / "base")
    twin = LlamaForCausalLM.from_pretrained(parts / "base", dtype=torch.float32)
    twin.save_pretrained(tmp_path / "twin")  # the same shapes: only its name tells
    with pytest.raises(UserError, match="another base model: .*the names do not"):
        folder.check_adapter(parts / "adapter", tmp_path / "twin")


def test_rope_and_end_tokens_are_what_lmdeploy_reads(parts):
    read = folder.as_lmdeploy_reads(parts / "base")
    assert read["type"] == "default" and read["base"] == 10000.0 and read["eos"] and read["stop_word"] is not None


def test_lmdeploy_reads_llama_31s_rope():
    from helpers import llama3

    read = folder.as_lmdeploy_reads(llama3.tokenizer_dir())
    assert (read["type"], read["base"], read["factor"]) == ("llama3", 500000.0, 8.0)
    assert read["eos"] == [128001, 128008, 128009] and read["stop_word"] == 128009


def test_a_derivative_of_llama_says_so(monkeypatch, tmp_path):
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
    row = {"format": "BF16", "weights": predictions.SAVED, "mean_kl": 1e-4, "prompts": 20}
    proofs = {
        "weights": {"modules": 1, "format": "BF16", "worst": 0.5},
        "predictions": [row, row | {"weights": predictions.BY_CHANCE, "mean_kl": 2e-4}],
    }
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "USE_POLICY.md").write_text("Meta's")
    model_card.write(Run(chosen, chosen.name), tmp_path / "base", tmp_path, proofs)
    assert (tmp_path / "USE_POLICY.md").read_text() == "Meta's"
    assert (tmp_path / "NOTICE").read_text() == model_card.NOTICE
    text = (tmp_path / "README.md").read_text()
    assert "\n# Llama-3.1-8B-Instruct-listener\n" in text and "Built with Llama" in text and "license: llama3.1" in text
    assert (
        "12356" in text and "must not be used" in text and model_card.NOTICE.startswith("Llama 3.1 is licensed under")
    )
