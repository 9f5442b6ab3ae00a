"""Settings that the parser takes and that are wrong, in one table. A test proves each line against the packages."""

from collections.abc import Callable
from dataclasses import dataclass

from . import hubs, looks
from .classes import MISSING
from .looks import View

TRAINING = ("swift sft", "swift pt", "swift rlhf")
SERVING = ("swift deploy", "swift infer", "swift app")
SWIFT = (*TRAINING, *SERVING, "swift export", "swift eval", "swift rollout", "swift merge-lora")
LMDEPLOY = ("lmdeploy serve api_server",)


@dataclass(frozen=True)
class Rule:
    """`when` says whether a command breaks it: False, True, or a word that `says` and `instead` take up as {0}."""

    name: str
    tools: tuple[str, ...]
    flag: str  # the argument it is about
    when: Callable[[View], bool | str]
    says: str
    instead: str  # the flag that works; "" leaves it out
    source: str  # module in the package where it can be read
    status: str = "harmful"


PACKAGES = (  # argument, value, package that the tools import for it
    ("attn_impl", "flash_attn", "flash_attn"),
    ("attn_impl", "flash_attention_2", "flash_attn"),
    ("infer_backend", "vllm", "vllm"),
    ("infer_backend", "sglang", "sglang"),
    ("quant_method", "bnb", "bitsandbytes"),
    ("quant_method", "awq", "awq"),
    ("quant_method", "gptq", "gptqmodel"),
    ("use_liger_kernel", "true", "liger_kernel"),
    ("tuner_backend", "unsloth", "unsloth"),
    ("deepspeed", "", "deepspeed"),
)


KEPT = "(as it is)"  # the flag is right, something else is missing


def _needs(name: str, value: str, package: str) -> "Rule":
    """The rule that an argument needs a package which is not here."""
    return Rule(
        f"needs-{package}-{value or name}",
        SWIFT,
        name,
        lambda v: looks.missing(v, name, value or v.one(name), package),
        MISSING.format(package),
        "--attn_impl sdpa" if package == "flash_attn" else KEPT,
        "the import of " + package,
    )


def _placeholder(name: str) -> "Rule":
    """The rule that a path must be filled in."""
    where = f"output/<model>/vN-<date>/checkpoint-<step>{'-merged' if name == 'model' else ''}"
    return Rule(
        f"placeholder-{name}",
        SWIFT,
        name,
        lambda v: looks.placeholder(v, name),
        "{0} is a placeholder; since 3.0 checkpoints lie in output/<model>/vN-date/checkpoint-N",
        f"--{name} '{where}'",
        "swift/utils",
    )


# fmt: off
TABLE = [
    # ---- refused by the classes, later than by the parser
    Rule("model-type-unknown", SWIFT, "model_type", lambda v: looks.not_registered(v, "model_type"),
         "{0!r} is no family that ms-swift registers; since 3.0 --model names the model, this flag is seldom needed",
         "{model}", "swift/model/model_meta.py", "bad value"),
    Rule("ref-model-type-unknown", TRAINING, "ref_model_type", lambda v: looks.not_registered(v, "ref_model_type"),
         "{0!r} is no family that ms-swift registers; without the flag it is the trained model's own",
         "", "swift/model/model_meta.py", "bad value"),
    Rule("template-unknown", SWIFT, "template", lambda v: looks.not_registered(v, "template"),
         "template_type: {0!r} is not registered; without the flag ms-swift picks the model's own",
         "", "swift/template/register.py", "bad value"),
    Rule("tuner-unknown", TRAINING, "tuner_type", lambda v: looks.not_registered(v, "tuner_type"),
         "{0!r} is no tuner of ms-swift", "--tuner_type lora", "swift/arguments/base_args/base_args.py", "bad value"),
    Rule("vllm-mode", ("swift rlhf",), "use_vllm", lambda v: v.on("use_vllm") and "vllm_mode" not in v.args,
         "vllm_mode is required when use_vllm is true: colocate shares the cards, server needs `swift rollout`",
         "--use_vllm true --vllm_mode colocate", "swift/arguments/rlhf_args.py", "bad value"),
    Rule("deepspeed-preset", TRAINING, "deepspeed", looks.bad_preset,
         "{0!r} is neither a preset of ms-swift nor a JSON file", "--deepspeed zero2",
         "swift/arguments/sft_args.py", "bad value"),
    Rule("cache-zero", SERVING, "lmdeploy_cache_max_entry_count",
         lambda v: looks.number(v.one("lmdeploy_cache_max_entry_count", "0.8")) <= 0,
         "LMDeploy refuses 0, `invalid cache_max_entry_count`: it is the cache's share of free GPU memory, no switch",
         "--lmdeploy_cache_max_entry_count 0.8", "lmdeploy/messages.py", "bad value"),
    # ---- taken, and wrong: training
    Rule("packing-needs-flash-attention", TRAINING, "packing",
         lambda v: looks.without_flash(v, "packing"),
         "packing puts several dialogues in one row and needs flash attention; {flash}",
         "--packing false", "swift/arguments/sft_args.py"),
    Rule("padding-free-needs-flash-attention", TRAINING, "padding_free",
         lambda v: looks.without_flash(v, "padding_free"),
         "a batch without padding is one long row and needs flash attention; {flash}",
         "--padding_free false", "swift/arguments/sft_args.py"),
    Rule("target-modules-comma", TRAINING, "target_modules",
         lambda v: any("," in x for x in v.args.get("target_modules", ())),
         "one word with commas is one module name, and no module has it: training stops when the adapter is built",
         "--target_modules {split}", "swift/arguments/tuner_args.py"),
    Rule("template-dated", TRAINING, "template", looks.dated,
         "ms-swift picks {picked} for this model, which writes the date of the day into the system block; the recipe "
         "trains on {0}, and a server uses the template beside the tokenizer: train on llama3, which has no date, and "
         "export with that template, as page 05 does",
         "--template llama3", "swift/template/templates/llama.py"),
    Rule("no-validation-set", ("swift sft", "swift pt"), "val_dataset", looks.no_validation,
         "nothing is held out: split_dataset_ratio is 0 since ms-swift 3.6; evaluation is off and overfitting unseen",
         "--split_dataset_ratio 0.02", "swift/arguments/base_args/data_args.py"),
    Rule("dataset-name", SWIFT, "dataset", looks.short_dataset,
         "{0!r} is neither a file nor an owner/name of a hub; ms-swift 3 dropped short names and commas",
         "--dataset owner/name#1000", "swift/dataset/dataset_syntax.py"),
    Rule("swanlab-cloud", TRAINING, "report_to", looks.cloud_swanlab,
         "swanlab_mode is `cloud` unless said, and cloud needs a key: it fails only after the model has loaded",
         "--report_to swanlab --swanlab_mode local", "swift/arguments/sft_args.py"),
    Rule("errors-hidden", SWIFT, "ignore_args_error", lambda v: v.on("ignore_args_error"),
         "a misspelt flag is then ignored in silence", "", "swift/pipelines/base.py"),
    # ---- taken, and wrong: where the model comes from
    Rule("other-hub", SWIFT, "model", lambda v: "" if hubs.uses_hf(v) else hubs.other_hub(v.one("model")),
         "this is Hugging Face's name; ms-swift asks ModelScope first, where it is called {0}",
         "--model {0}", "swift/model/models"),
    *(_placeholder(name) for name in ("adapters", "model", "resume_from_checkpoint", "ref_adapters")),
    Rule("remote-code", SWIFT, "model_revision",
         lambda v: hubs.hub_name(v) if "model_revision" not in v.args else "",
         "remote code is on: ms-swift runs the Python files of a model's repository, with no flag against it: pin the "
         "revision that you have read",
         "--model_revision <commit>", "swift/model/register.py"),
    # ---- taken, and wrong: serving with ms-swift
    Rule("backend-broken", SERVING, "infer_backend", lambda v: looks.backend_fails(looks.backend(v)),
         "ms-swift cannot load this LMDeploy: {0}",
         "lmdeploy serve api_server …", "swift/infer_engine/lmdeploy_engine.py"),
    Rule("base-under-tuned-name", SERVING, "adapters",
         lambda v: looks.backend(v) == "lmdeploy" and "adapters" in v.args and not v.on("merge_lora"),
         "with lmdeploy ms-swift hands over the base model's folder and drops the adapter: the base answers under "
         "the tuned name",
         "--merge_lora true", "swift/pipelines/infer/infer.py"),
    Rule("max-model-len", SERVING, "max_model_len",
         lambda v: looks.backend(v) == "vllm" and "max_model_len" in v.args,
         "it sets the length in the model's configuration now; vLLM's own limit is --vllm_max_model_len",
         "--vllm_max_model_len {given}", "swift/rlhf_trainers/args_mixin.py"),
    Rule("open-to-all", ("swift deploy",), "host",
         lambda v: v.one("host", "0.0.0.0") == "0.0.0.0" and "api_key" not in v.args,
         "ms-swift listens on 0.0.0.0 without a key unless told otherwise: everybody on the network can use the model",
         "--host 127.0.0.1", "swift/arguments/deploy_args.py"),
    # ---- taken, and wrong: serving with LMDeploy
    Rule("lmdeploy-open-to-all", LMDEPLOY, "server_name",
         lambda v: v.one("server_name", "0.0.0.0") == "0.0.0.0" and "api_keys" not in v.args,
         "LMDeploy listens on 0.0.0.0 without a key unless told otherwise: everybody on the network can use the model",
         "--server-name 127.0.0.1", "lmdeploy/cli/serve.py"),
    Rule("lmdeploy-adapters-dropped", LMDEPLOY, "adapters",
         lambda v: "adapters" in v.args and v.one("backend", "turbomind") == "turbomind",
         "the default engine has no adapters and drops the flag in silence: the base model answers",
         "--backend pytorch --adapters {given}", "lmdeploy/messages.py"),
    Rule("lmdeploy-cache-blocks", LMDEPLOY, "cache_max_entry_count",
         lambda v: v.one("backend", "turbomind") == "turbomind" and looks.number(v.one("cache_max_entry_count")) >= 1,
         "1 and more is a number of cache blocks, not a share of the memory: a model with one block cannot answer",
         "--cache-max-entry-count 0.8", "lmdeploy/messages.py"),
    Rule("lmdeploy-remote-code", LMDEPLOY, "trust_remote_code", lambda v: "trust_remote_code" in v.args,
         "it runs the Python files that lie in the model's folder; a Llama needs none", "", "lmdeploy/cli/utils.py"),
    Rule("lmdeploy-path-decides", LMDEPLOY, "chat_template",
         lambda v: "" if v.one("chat_template") or hubs.known(v.folder) else looks.by_path(v.folder),
         "LMDeploy takes the built-in chat template {0!r} because of the letters in the path, not the model's own",
         "--chat-template hf", "lmdeploy/model.py"),
    *(_needs(*line) for line in PACKAGES),
]
# fmt: on


def sentence(rule: Rule, view: View, found: bool | str) -> tuple[str, str]:
    """The reason and the working flag of a rule that a command breaks."""
    given = view.args.get(rule.flag, ())
    words = {
        "flash": "the package flash_attn is not installed here"
        if view.one("attn_impl") in looks.FLASH
        else "attn_impl says another one",
        "picked": looks.picked_template(view.one("model")) if view.tool in TRAINING else "",
        "model": _named(view),
        "split": " ".join(x for v in given for x in v.split(",") if x),
        "given": " ".join(given),
    }
    return rule.says.format(found, **words), rule.instead.format(found, **words)


def _named(view: View) -> str:
    """`--model …` where a model type of ms-swift 2 was all that named the model, else ''."""
    by_type = hubs.of_type(view.one("model_type"))
    return f"--model {by_type}" if by_type and view.one("model") in ("", by_type) else ""
