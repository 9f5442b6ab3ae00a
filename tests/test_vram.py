"""Memory of a training step: fake is real, estimate and formula are the trace, bad input is one sentence."""

import dataclasses
import json
import subprocess
import sys

import pytest

from helpers import llama3, profile
from helpers.vram import allocator, cards, command, fits, formula, hours, recipe, serving, shape
from helpers.vram.cards import CARDS, RecipeError

SMALL = dict(
    model_type="llama",
    vocab_size=512,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    tie_word_embeddings=False,
)
LARGE = {"model_type": "llama", **llama3.SHAPE_8B}
STEP = dict(max_length=48, per_device_train_batch_size=2, gradient_accumulation_steps=1, lora_dropout=0.0)
CPU = dict(use_cpu=True, attn_impl="sdpa")

REAL = {
    "cpu float32": CPU | dict(torch_dtype="float32", gradient_checkpointing=False),
    "bf16 autocast, checkpointing": CPU,
    "not reentrant": CPU | dict(gradient_checkpointing_kwargs={"use_reentrant": False}),
    "eager, padded": dict(attn_impl="eager", padded=True),
    "full, foreach": dict(tuner_type="full", optim="adamw_torch", gradient_checkpointing=False),
    "every token's logits": dict(use_logits_to_keep=False, gradient_accumulation_steps=4),
    "fused loss": dict(use_liger_kernel=True),
    "chunked loss, 8-bit optimizer": dict(loss_chunks=4, optim="adamw_8bit"),
    "4-bit base": dict(quant_method="bnb", quant_bits=4, target_modules=["q_proj", "v_proj"]),
    "one row, a third supervised": dict(per_device_train_batch_size=1, supervised_share=0.33),
}
FULL = REAL | {
    "packed, flash attention": dict(attn_impl="flash_attn", packing=True, lora_dropout=0.1),
    "rank 64 without checkpointing": dict(lora_rank=64, gradient_checkpointing=False),
    "float16, non-quantized": dict(torch_dtype="float16", fp16=False, max_grad_norm=0.0, logits_alive=True),
}


def made(config=SMALL, **settings):
    return recipe.from_settings(config, STEP | settings)


@pytest.mark.parametrize("name", REAL)
def test_fake_tensors_take_what_real_ones_take(name):
    from helpers.vram.trace import trace_step

    one = made(**REAL[name])
    fake, real = trace_step(one), trace_step(one, fake=False)
    assert fake.peak_allocated == real.peak_allocated and fake.phases == real.phases
    assert fake.peak_reserved == real.peak_reserved


@pytest.mark.parametrize("name", FULL)
def test_the_estimate_is_the_whole_trace(name):
    from helpers.vram.estimate import estimate_step
    from helpers.vram.trace import trace_step

    one = made(SMALL | {"num_hidden_layers": 7}, **FULL[name])
    whole, quick = trace_step(one), estimate_step(one)
    assert quick.peak_allocated == pytest.approx(whole.peak_allocated, rel=1e-3)
    assert (quick.static, quick.trainable, quick.phase) == (whole.static, whole.trainable, whole.phase)
    if not one.use_cpu:
        assert quick.peak_reserved == pytest.approx(whole.peak_reserved, rel=0.02)


@pytest.mark.parametrize(
    "change", [{}, {"supervised_share": 0.3}, {"gradient_checkpointing": False}, {"use_liger_kernel": True}]
)
def test_the_formula_is_the_estimate_of_the_8b_recipe(change):
    from helpers.vram.estimate import estimate_step
    from helpers.vram.fitting import fit_tokens
    from helpers.vram.step import kept_tokens

    base = recipe.of_profile(profile.load("h100-llama3.1-8b"), **change)
    line = fit_tokens(base)
    for rows, length in ((1, 2048), (6, 3072)):
        one = dataclasses.replace(base, per_device_train_batch_size=rows, max_length=length)
        assert line.peak(one.tokens, kept_tokens(one), length) == pytest.approx(
            estimate_step(one).peak_allocated, rel=1e-3
        )


def test_a_padded_batch_has_a_formula_too():
    from helpers.vram.estimate import estimate_step
    from helpers.vram.fitting import fit_tokens

    base = made(LARGE, attn_impl="eager", use_logits_to_keep=False)
    one = dataclasses.replace(base, per_device_train_batch_size=3, max_length=1536)
    assert fit_tokens(base).peak(one.tokens, None, 1536) == pytest.approx(estimate_step(one).peak_allocated, rel=0.01)


def test_the_step_on_this_cpu_is_predicted_within_two_percent():
    from helpers.vram.estimate import estimate_step
    from helpers.vram.measure import measure

    config = SMALL | dict(vocab_size=4096, hidden_size=256, intermediate_size=768, num_hidden_layers=6)
    one = made(config, **REAL["cpu float32"] | {"max_length": 256, "per_device_train_batch_size": 1})
    assert estimate_step(one).peak_allocated == pytest.approx(measure(one)["peak_allocated"], rel=0.02)


def test_the_recipe_has_the_numbers_of_its_shape():
    from helpers.vram.estimate import estimate_step

    quick = estimate_step(recipe.of_profile(profile.load("h100-llama3.1-8b")))
    sizes = shape.Shape.of(LARGE)
    assert sizes.parameters() == 8_030_261_248
    assert quick.trainable == sizes.adapter_parameters(8) == 20_971_520
    assert quick.parameters == sizes.parameters() + quick.trainable
    assert sum(quick.breakdown.values()) == pytest.approx(quick.peak_allocated, rel=1e-6)
    assert quick.phase == "backward+logits"  # not the layers: their inputs alone are kept


def test_keys_and_values_are_transformers_cache():
    import torch
    from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**{k: v for k, v in SMALL.items() if k != "model_type"})
    cache = DynamicCache(config=config)
    with torch.inference_mode():
        LlamaForCausalLM(config).to(torch.bfloat16)(torch.zeros((1, 40), dtype=torch.long), past_key_values=cache)
    held = sum(x.numel() * x.element_size() for layer in cache.layers for x in (layer.keys, layer.values))
    assert serving.kv_cache_bytes(SMALL, 40) == held
    assert serving.kv_cache_bytes(LARGE) == 131_072


def test_a_server_takes_a_share_of_what_is_left():
    much, little = (serving.serving_memory(LARGE, CARDS["h100"], r, 4096) for r in (0.8, 0.01))
    assert much.weights == little.weights == 2 * 8_030_261_248 and much.sessions > 90 > 1 < little.sessions
    share = serving.share_for(LARGE, CARDS["h100"], 20)
    assert serving.serving_memory(LARGE, CARDS["h100"], share, 4096).total == pytest.approx(20e9, rel=1e-6)
    for wrong in (0, 1, -0.1, True, "0.5"):
        with pytest.raises(RecipeError, match="cache_max_entry_count: .* above 0 and below 1"):
            serving.serving_memory(LARGE, CARDS["h100"], wrong, 4096)
    with pytest.raises(RecipeError, match="the weights take 15.0 GiB alone"):
        serving.serving_memory(LARGE, CARDS["t4"], 0.5, 4096)


MIB = 2**20


@pytest.mark.parametrize(
    "events, expected",
    [
        ([(1, 100)], 2 * MIB),  # a small segment
        ([(1, 2 * MIB)], 20 * MIB),
        ([(1, 11 * MIB)], 12 * MIB),  # a large one, rounded to 2 MiB
        ([(1, 12 * MIB), (-1, 0), (2, 12 * MIB)], 12 * MIB),  # used again
        ([(1, 12 * MIB), (-1, 0), (2, 14 * MIB)], 26 * MIB),  # too small, and kept
        ([(1, 12 * MIB), (-1, 0), (2, 6 * MIB), (3, 6 * MIB)], 12 * MIB),  # cut in two
        ([(1, 12 * MIB), (-1, 0), (2, 6 * MIB), (3, 6 * MIB), (-2, 0), (-3, 0), (4, 12 * MIB)], 12 * MIB),  # joined
    ],
)
def test_the_allocator_keeps_what_it_took(events, expected):
    assert allocator.reserved(events) == expected


def test_the_allocator_gives_back_before_it_runs_out():
    events = [(1, 12 * MIB), (-1, 0), (2, 14 * MIB)]
    assert allocator.reserved(events, capacity=20 * MIB) == 14 * MIB
    assert allocator.expandable(events) == 14 * MIB


BAD = {
    "lora_rnk": (8, "did you mean 'lora_rank'"),
    "per_device_train_batch_size": (-1, "whole number of 1 or more"),
    "max_length": ("long", "whole number"),
    "tuner_type": ("dora", "allowed: lora, full"),
    "torch_dtype": ("int8", "allowed: bfloat16, float16, float32"),
    "quant_bits": (3, "allowed: 4"),
    "quant_method": ("bnb", "quant_bits"),
    "packing": (True, "needs a flash attention"),
    "supervised_share": (0, "above 0 to 1"),
    "lora_dropout": (1.5, "from 0 to 1"),
    "target_modules": (["c_attn"], "this model has no c_attn; it has down_proj"),
    "deepspeed": ("zero3", "ZeRO and its offload is not modelled"),
    "torch_compile": (True, "torch.compile is not modelled"),
    "optim": ("lion", "allowed: adamw_torch_fused"),
    "gradient_checkpointing": ("maybe", "true or false"),
    "gradient_checkpointing_kwargs": ({"depth": 2}, "use_reentrant"),
}


@pytest.mark.parametrize("key", BAD)
def test_a_bad_setting_is_one_sentence_that_names_it(key):
    from helpers.vram.trace import trace_step

    value, sentence = BAD[key]
    with pytest.raises(RecipeError) as error:
        trace_step(made(**{key: value}))
    assert key in str(error.value) and sentence in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"quant_method": "bnb", "quant_bits": 4, "tuner_type": "full"}, "tuner_type: a 4-bit base cannot"),
        ({"attn_impl": "flash_attn", "use_cpu": True}, "attn_impl: flash attention needs a GPU"),
        ({"bf16": True, "fp16": True}, "fp16: not together with bf16"),
        ({"use_liger_kernel": True, "loss_chunks": 2}, "loss_chunks: not together"),
    ],
)
def test_settings_that_contradict_are_refused(change, sentence):
    with pytest.raises(RecipeError, match=sentence):
        made(**change)


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"model_type": None}, "model_type is missing"),
        ({"model_type": "t5"}, "model_type 't5' is not a causal"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "is not a causal language model"),
        ({"hidden_size": None}, "hidden_size is None"),
        ({"num_attention_heads": 3}, "has to divide"),
        ({"num_experts": 8}, "mixture of experts"),
    ],
)
def test_a_config_that_is_no_llama_is_one_sentence(change, sentence):
    from helpers.vram.trace import trace_step

    with pytest.raises(RecipeError, match=f"config: .*{sentence}"):
        trace_step(made(SMALL | change))


def test_cards_by_name_by_size_or_the_nearest():
    assert [cards.find_card(x).name for x in ("H100", "RTX 4090", "80", 24, "NVIDIA L40S")] == [
        *("h100", "rtx4090", "h100", "rtx4090", "l40s")
    ]
    with pytest.raises(RecipeError, match="gpu: .* did you mean 'rtx4090'"):
        cards.find_card("RTX 4080")
    with pytest.raises(RecipeError, match="gpu: 0 is no size"):
        cards.find_card(0)


@pytest.mark.parametrize("name", profile.names())
def test_the_verb_answers_for_every_profile(name):
    answer = command.as_dict(*command.run(name, None, [], None, False))
    assert answer["peak_allocated_bytes"] > 2**30 and answer["phase"] and answer["seconds"] < 20
    on_gpu = answer["recipe"]["use_cpu"] is False
    assert on_gpu == bool(answer["peak_reserved_bytes"]) == bool(answer["nvidia_smi_bytes"])
    assert sum(answer["breakdown"].values()) == pytest.approx(answer["peak_allocated_bytes"], rel=1e-6)
    assert any("not measured" in x for x in answer["assumptions"])
    json.dumps(answer)


def test_the_verb_takes_a_readers_config(tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(SMALL))
    words = ["max_length=64", "target_modules=q_proj,v_proj", "lora_rank=4"]
    made_of, card, memory, _ = command.run(None, file, words, "t4", True)
    assert made_of.target_modules == ("q_proj", "v_proj") and memory.trainable == 2 * 4 * (64 + 64 + 64 + 32)
    assert card.name == "t4" and "peak allocated" in command.as_text(made_of, card, memory, [])
    with pytest.raises(RecipeError, match="config: .*nothing.json does not exist"):
        command.run(None, tmp_path / "nothing.json", [], None, False)
    with pytest.raises(RecipeError, match="write key=value"):
        command.settings(["lora_rank"])


def test_formulas_come_back_from_json_and_need_no_torch(tmp_path):
    line = formula.PeakFormula({"forward": (10.0, 2.0, 0.0, 0.0), "backward+logits": (5.0, 1.0, 12.0, 0.0)})
    formula.save({"16-bit base": line}, tmp_path / "c.json", gpu="h100")
    back = formula.load(tmp_path / "c.json")["16-bit base"]
    assert back == line and back.peak(100, 10) == 225 and back.peak(100, 0) == 210
    assert back.most_tokens(1000, 0.5, 10) == 140
    code = (
        f"import sys, time; from helpers.vram import formula, serving, hours, fits; t = time.perf_counter(); "
        f"f = formula.load({str(tmp_path / 'c.json')!r}); f['16-bit base'].peak(9, 9); "
        f"assert time.perf_counter() - t < 0.05 and 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_what_fits_is_ranked_and_says_how_to_start_it():
    base = recipe.of_profile(profile.load("h100-llama3.1-8b"))
    lines = {n: formula.PeakFormula({"x": (20e9, 2e6, 0.0, 0.0)}) for n in fits.WAYS}
    rows = fits.fitting_settings(base, CARDS["h100"], lines)
    speeds = [r["tokens_per_second"] for r in rows]
    assert speeds == sorted(speeds, reverse=True) and {r["length"] for r in rows} == {1024, 2048, 3072, 4096}
    assert all(r["predicted_gib"] < 79.1 for r in rows) and "no checkpointing" in rows[0]["way"]
    words = fits.command({"lora_rank": 8, "quant_bits": None, "packing": True}, rows[-1]["changes"], "a/b")
    assert words.startswith("swift sft --model a/b --lora_rank 8") and "--packing true" in words
    assert "--max_length" in words and "None" not in words


def test_hours_are_tokens_times_arithmetic():
    base = recipe.of_profile(profile.load("h100-llama3.1-8b"), use_logits_to_keep=False)
    each = hours.flops_per_token(base, 520)
    assert each == pytest.approx(6 * 7.5e9, rel=0.02)  # forward twice, backward; the embedding multiplies nothing
    plain = dataclasses.replace(base, gradient_checkpointing=False)
    assert hours.flops_per_token(plain, 520) < 0.72 * each
    one = hours.epoch(base, 8100, 8100 * 520, 989.4e12, 0.4)
    assert one.steps == 39 and one.seconds == pytest.approx(8100 * 520 * each / (0.4 * 989.4e12))
    assert hours.llama3_tokens([{"llama3_tokens": 100, "turns": 2}, {"llama3_tokens": 9000, "turns": 9}], 30, 3072) == (
        100 + 4 * 5 + 30 + 6 + 3072
    )
