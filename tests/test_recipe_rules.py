"""Each line of the tables of `check-recipe` is proven against the installed packages."""

import datetime
import importlib

import pytest

from helpers import llama3
from helpers.recipe import classes, hubs, looks, renames, rules, tools, verbs
from helpers.recipe.looks import View

LMDEPLOY = "lmdeploy serve api_server"
VERBS = ("sft", "rlhf", "export", "deploy", "infer", "app", "rollout", "eval")


def taken(name: str) -> list[str]:
    """Commands of ms-swift whose parser has an option of exactly this name."""
    return [v for v in VERBS if f"--{name}" in tools.parser(f"swift {v}")._option_string_actions]


@pytest.mark.parametrize(("old", "new"), [(k, v[0]) for k, v in renames.SWIFT.items()])
def test_an_old_name_is_refused_and_the_new_one_taken(old, new):
    assert taken(new), new
    assert set(taken(new)) - set(taken(old)), f"{old} is taken wherever {new} is"


@pytest.mark.parametrize("name", renames.SWIFT_GONE)
def test_what_is_gone_is_refused_somewhere(name):
    assert len(taken(name)) < len(VERBS)
    assert any(tools.ask(f"swift {v}", (f"--{name}", "1")).unknown for v in VERBS)


def test_lmdeploys_old_names_are_refused_and_the_new_ones_taken():
    tool = "lmdeploy serve api_server"
    for old, (new, _) in renames.LMDEPLOY.items():
        assert tools.ask(tool, (f"--{old}", "1")).unknown, old
        assert tools.option(tool, new) is not None, new
    for name in renames.LMDEPLOY_GONE:
        answer = tools.ask(tool, (f"--{name}", "1"))
        assert answer.unknown or answer.refusal, name


@pytest.mark.parametrize(("dest", "old"), renames.VALUES)
def test_an_old_value_is_refused_or_means_nothing_and_the_new_one_is_taken(dest, old):
    new = renames.VALUES[dest, old]
    tool = (
        "lmdeploy serve api_server"
        if dest in ("dtype", "chat_template")
        else "swift infer"
        if dest == "infer_backend"
        else "swift sft"
    )
    view = View(tool, {dest: (old,)}, "shell", {})
    late = {"target_modules", "attn_impl"}  # strings to the parser; the tool stops later
    if dest == "chat_template":
        assert "not registered" in says(tool, chat_template=old) and not says(tool, chat_template="hf")
        return
    refused = tools.ask(tool, (f"--{dest}", old)).refusal or any(
        r.when(view) for r in rules.TABLE if tool in r.tools and r.flag == dest and r.status == "bad value"
    )
    assert refused or dest in late, (dest, old)
    assert not new or not tools.ask(tool, (f"--{dest}", *new)).refusal


def says(tool: str, **args) -> str:
    return classes.construct(tool, {k: v if isinstance(v, tuple) else (v,) for k, v in args.items()})


def proof_packing():
    assert "flash attention" in says("swift sft", model="m", dataset="d", packing="true")
    assert "flash attention" in says("swift sft", model="m", dataset="d", packing="true", attn_impl="sdpa")
    assert "flash attention" in says("swift sft", model="m", dataset="d", padding_free="true")
    assert says("swift sft", model="m", dataset="d", packing="true", attn_impl="flash_attn") == ""  # stops later:
    if not looks.installed("flash_attn"):
        from transformers import LlamaConfig, LlamaForCausalLM

        small = LlamaConfig(
            hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=8
        )
        with pytest.raises(ImportError, match="FlashAttention2"):
            LlamaForCausalLM._from_config(small, attn_implementation="flash_attention_2")


def proof_comma():
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    small = LlamaConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=8)
    with pytest.raises(ValueError, match="q_proj,v_proj"):
        get_peft_model(LlamaForCausalLM(small), LoraConfig(target_modules=["q_proj,v_proj"]))


def proof_template():
    from swift.template import TEMPLATE_MAPPING

    for name in ("meta-llama/Meta-Llama-3.1-8B-Instruct", "LLM-Research/Meta-Llama-3.1-8B-Instruct"):
        assert looks.picked_template(name) == "llama3_2"
    today = datetime.datetime.now().strftime("%d %b %Y")
    assert today in "".join(TEMPLATE_MAPPING["llama3_2"].system_prefix)
    assert not any(c.isdigit() for c in "".join(TEMPLATE_MAPPING["llama3"].system_prefix))


def proof_validation():
    from swift.arguments.base_args.data_args import DataArguments

    one = DataArguments(dataset=["a/b"])
    assert one.split_dataset_ratio == 0 and not one._val_dataset_exists
    assert DataArguments(dataset=["a/b"], split_dataset_ratio=0.02)._val_dataset_exists


def proof_dataset():
    from swift.dataset import DATASET_MAPPING
    from swift.dataset.dataset_syntax import DatasetSyntax

    for name in ("alpaca-zh#500", "a.jsonl,b.jsonl"):
        parsed = DatasetSyntax.parse(name)
        assert parsed.dataset_type == "repo"
        assert not [k for k in DATASET_MAPPING if parsed.dataset in (k if isinstance(k, tuple) else (k,))]


def proof_swanlab():
    from swift.arguments.sft_args import SwanlabArguments

    assert SwanlabArguments().swanlab_mode == "cloud"


def proof_errors_hidden():
    from swift.pipelines import base

    class Quiet(base.SwiftPipeline):
        args_class = base.BaseArguments
        run = None

    source = importlib.import_module("inspect").getsource(base.SwiftPipeline._parse_args)
    assert "ignore_args_error" in source and "remaining_argv" in source


def proof_other_hub():
    assert hubs.other_hub("meta-llama/Meta-Llama-3.1-8B-Instruct") == "LLM-Research/Meta-Llama-3.1-8B-Instruct"
    assert hubs.other_hub("LLM-Research/Meta-Llama-3.1-8B-Instruct") == ""
    from swift.arguments import SftArguments

    assert SftArguments.__dataclass_fields__["use_hf"].default is False


def proof_placeholder():
    from swift.arguments import SftArguments

    assert SftArguments.__dataclass_fields__["add_version"].default is True  # output/<model>/vN-date


def proof_vllm_mode():
    asked = dict(model="m", dataset="d", rlhf_type="grpo", num_generations="2", per_device_train_batch_size="2")
    assert "vllm_mode is required" in says("swift rlhf", use_vllm="true", **asked)
    assert "vllm_mode is required" not in says("swift rlhf", use_vllm="true", vllm_mode="colocate", **asked)


def proof_remote_code():
    from swift.model.register import ModelLoader

    assert ModelLoader.default_trust_remote_code is True
    assert tools.ask("swift sft", ("--trust_remote_code", "false")).unknown


def proof_backend():
    with pytest.raises(ImportError, match="autoget_backend_config"):
        importlib.import_module("swift.infer_engine.lmdeploy_engine")
    assert "autoget_backend_config" in looks.backend_fails("lmdeploy")


def proof_base_model():
    """The engine is given `args.model`, the base model, whatever the adapters are."""
    from types import SimpleNamespace
    from unittest import mock

    import swift.infer_engine
    from swift.pipelines.infer.infer import SwiftInfer

    given = {}
    names = ("model", "model_type", "model_revision", "torch_dtype", "infer_backend")
    args = SimpleNamespace(**dict.fromkeys(names), adapters=["adapter"], get_lmdeploy_engine_kwargs=dict)
    args.model, args.infer_backend = "base", "lmdeploy"
    with mock.patch.dict(vars(swift.infer_engine), {"LmdeployEngine": lambda **kw: given.update(kw)}):
        SwiftInfer.get_infer_engine(args)
    assert given["model_id_or_path"] == "base" and not [k for k in given if "adapter" in k]


def proof_max_model_len():
    from swift.arguments import DeployArguments
    from swift.arguments.base_args.model_args import ModelArguments

    fields = DeployArguments.__dataclass_fields__
    assert "max_model_len" in ModelArguments.__dataclass_fields__ and "vllm_max_model_len" in fields


def proof_open():
    from swift.arguments import DeployArguments

    fields = DeployArguments.__dataclass_fields__
    assert fields["host"].default == "0.0.0.0" and fields["api_key"].default is None


def proof_lmdeploy_open():
    parser = tools.parser("lmdeploy serve api_server")
    assert parser.get_default("server_name") == "0.0.0.0" and parser.get_default("api_keys") is None


def proof_lmdeploy_adapters():
    from dataclasses import fields

    from lmdeploy.messages import PytorchEngineConfig, TurbomindEngineConfig

    assert tools.parser("lmdeploy serve api_server").get_default("backend") == "turbomind"
    assert "adapters" not in {f.name for f in fields(TurbomindEngineConfig)}
    assert "adapters" in {f.name for f in fields(PytorchEngineConfig)}


def proof_cache_zero():
    for backend in ("turbomind", "pytorch"):
        for value in ("0", "-1"):
            said = says("lmdeploy serve api_server", cache_max_entry_count=value, backend=backend)
            assert "cache_max_entry_count" in said
    from swift.arguments import DeployArguments

    assert DeployArguments.__dataclass_fields__["lmdeploy_cache_max_entry_count"].default == 0.8


def proof_cache_blocks():
    assert says("lmdeploy serve api_server", cache_max_entry_count="1.0") == ""
    assert "cache_max_entry_count" in says("lmdeploy serve api_server", cache_max_entry_count="1.0", backend="pytorch")


def proof_lmdeploy_remote():
    assert tools.parser("lmdeploy serve api_server").get_default("trust_remote_code") is False


def proof_path(tmp_path):
    import shutil

    from lmdeploy.model import get_chat_template

    for name, kind in (("llama2-mine", "Llama2"), ("mine", "HFChatTemplate")):
        shutil.copytree(llama3.tokenizer_dir(), tmp_path / name)
        assert type(get_chat_template(str(tmp_path / name))).__name__ == kind
        assert bool(looks.by_path(str(tmp_path / name))) == (kind != "HFChatTemplate")


def proof_registry():
    assert "not in" in _raised(model_type="llama3_1-8b-instruct") and "not in" in _raised(template="llama4711")
    from swift.arguments.base_args.base_args import get_supported_tuners

    assert "lora" in get_supported_tuners() and "qlora" not in get_supported_tuners()


def _raised(**kw) -> str:
    from swift.arguments import SftArguments

    with pytest.raises(ValueError) as error:
        SftArguments(model=str(llama3.tokenizer_dir()), dataset=["d"], **{"model_type": "llama", **kw})
    return str(error.value)


def proof_deepspeed():
    view = View("swift sft", {"deepspeed": ("zero2",)}, "shell", {})
    assert looks.bad_preset(view) == ""
    from swift.utils import json_parse_to_dict

    with pytest.raises(Exception):  # noqa: B017 — whatever json says
        json_parse_to_dict("default-zero2")


PROOFS = {
    "model-type-unknown": proof_registry,
    "template-unknown": proof_registry,
    "tuner-unknown": proof_registry,
    "deepspeed-preset": proof_deepspeed,
    "cache-zero": proof_cache_zero,
    "ref-model-type-unknown": proof_registry,
    "packing-needs-flash-attention": proof_packing,
    "padding-free-needs-flash-attention": proof_packing,
    "target-modules-comma": proof_comma,
    "template-dated": proof_template,
    "no-validation-set": proof_validation,
    "dataset-name": proof_dataset,
    "swanlab-cloud": proof_swanlab,
    "errors-hidden": proof_errors_hidden,
    "other-hub": proof_other_hub,
    **{f"placeholder-{n}": proof_placeholder for n in ("adapters", "model", "resume_from_checkpoint", "ref_adapters")},
    "vllm-mode": proof_vllm_mode,
    "remote-code": proof_remote_code,
    "backend-broken": proof_backend,
    "base-under-tuned-name": proof_base_model,
    "max-model-len": proof_max_model_len,
    "open-to-all": proof_open,
    "lmdeploy-open-to-all": proof_lmdeploy_open,
    "lmdeploy-adapters-dropped": proof_lmdeploy_adapters,
    "lmdeploy-cache-blocks": proof_cache_blocks,
    "lmdeploy-remote-code": proof_lmdeploy_remote,
    "lmdeploy-path-decides": proof_path,
}


def test_every_rule_has_a_proof():
    names = [r.name for r in rules.TABLE if not r.name.startswith("needs-")]
    assert sorted(names) == sorted(PROOFS) and len(names) == len(set(names))


@pytest.mark.parametrize("proof", dict.fromkeys(PROOFS.values()), ids=lambda p: p.__name__)
def test_the_installed_packages_behave_as_the_rule_says(proof, tmp_path):
    proof(tmp_path) if proof is proof_path else proof()


@pytest.mark.parametrize(("name", "value", "package"), rules.PACKAGES)
def test_a_package_rule_speaks_only_where_the_package_is_missing(name, value, package):
    view = View("swift sft", {name: (value or "x",)}, "shell", {})
    assert looks.missing(view, name, value or "x", package) != looks.installed(package)


def test_verbs_of_today_are_the_packages_own_and_the_old_ones_are_gone():
    there = verbs.installed()
    for old, (new, words) in verbs.RENAMED_VERBS.items():
        assert old not in there and new in there
        assert not words or not tools.ask(new, words).refusal
    assert {"lmdeploy chat", "lmdeploy lite", "swift web-ui"} <= there and not set(verbs.INSTEAD) & there


def test_a_model_type_of_ms_swift_2_names_a_model():
    known = {
        "llama3_1-8b-instruct": "LLM-Research/Meta-Llama-3.1-8B-Instruct",
        "llama3-8b-instruct": "LLM-Research/Meta-Llama-3-8B-Instruct",
        "qwen2_5-7b-instruct": "Qwen/Qwen2.5-7B-Instruct",
        "qwen1half-7b-chat": "Qwen/Qwen1.5-7B-Chat",
        "internlm2_5-7b-chat": "Shanghai_AI_Laboratory/internlm2_5-7b-chat",
    }
    assert {k: hubs.of_type(k) for k in known} == known and hubs.of_type("llama") == hubs.of_type("nobody-7b") == ""
