"""Settings that the parser takes and that are wrong. One readable table; a test proves each line against the packages."""

import functools
import importlib
import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import tools

TRAINING = ("swift sft", "swift pt", "swift rlhf")
SERVING = ("swift deploy", "swift infer", "swift app")
SWIFT = (*TRAINING, *SERVING, "swift export", "swift eval", "swift rollout", "swift merge-lora")
LMDEPLOY = ("lmdeploy serve api_server",)


@dataclass(frozen=True)
class View:
    """A command in the installed tools' own names: values by argument."""

    tool: str
    args: dict[str, tuple[str, ...]]
    kind: str
    env: dict
    positional: tuple[str, ...] = ()

    def one(self, name: str, default: str = "") -> str:
        """The only or first value of an argument."""
        return (self.args.get(name) or (default,))[0]

    def on(self, name: str) -> bool:
        """Whether a switch is given and on."""
        return name in self.args and self.one(name, "true").lower() in ("true", "1", "yes", "y", "t")


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


FLASH = ("flash_attn", "flash_attention_2", "flash_attention_3", "flash_attention_4")
PACKAGES = {  # (argument, value): package that the installed tools load for it
    ("attn_impl", "flash_attn"): "flash_attn",
    ("attn_impl", "flash_attention_2"): "flash_attn",
    ("infer_backend", "vllm"): "vllm",
    ("infer_backend", "sglang"): "sglang",
    ("quant_method", "bnb"): "bitsandbytes",
    ("quant_method", "awq"): "awq",
    ("quant_method", "gptq"): "gptqmodel",
    ("use_liger_kernel", "true"): "liger_kernel",
    ("tuner_backend", "unsloth"): "unsloth",
}


def installed(package: str) -> bool:
    """Whether a package can be imported here."""
    return importlib.util.find_spec(package) is not None


@functools.cache
def other_hub(model: str) -> str:
    """ModelScope's name of a model that is given by its Hugging Face name, '' if it is not."""
    with tools._silent():
        from swift.model import MODEL_MAPPING

    for meta in MODEL_MAPPING.values():
        for group in meta.model_groups:
            for known in group.models:
                if model and model == known.hf_model_id and model != known.ms_model_id:
                    return known.ms_model_id or ""
    return ""


@functools.cache
def picked_template(model: str) -> str:
    """The template that ms-swift picks for a model by its name, '' if it knows none."""
    with tools._silent():
        from swift.model.model_meta import get_matched_model_meta

        meta = get_matched_model_meta(model) if model else None
    return getattr(meta, "template", None) or ""


@functools.cache
def backend_fails(backend: str) -> str:
    """What ms-swift says when it loads its LMDeploy engine, '' if it loads."""
    if backend != "lmdeploy":
        return ""
    with tools._silent():
        try:
            importlib.import_module("swift.infer_engine.lmdeploy_engine")
        except Exception as error:  # whatever it is, the server does not start
            return str(error).split(" (/")[0]
    return ""


@functools.cache
def by_path(path: str) -> str:
    """The built-in chat template that LMDeploy takes for a path because of its letters, '' if it takes the model's own."""
    with tools._silent():
        from lmdeploy.model import MODELS

        for name, template in MODELS.module_dict.items():
            if name not in ("hf", "base") and template.match(path):
                return name
    return ""


def _hub_name(view: View) -> str:
    model = view.one("model")
    return model if re.fullmatch(r"[\w.-]+/[\w.-]+", model) and not Path(model).exists() else ""


def _uses_hf(view: View) -> bool:
    return view.on("use_hf") or view.env.get("USE_HF", "0").lower() in ("1", "true")


def _dated(view: View) -> str:
    """The template in force if the prompt of training is not the prompt that the hub's own template makes."""
    if view.kind == "profile" and view.one("model").startswith("./"):
        return ""  # a profile of this book: stage 05 puts the template of training beside the tokenizer
    picked = picked_template(view.one("model"))
    chosen = view.one("template", picked)
    return chosen if picked == "llama3_2" and chosen in ("llama3", "llama3_2") else ""


def _missing_package(view: View) -> str:
    for (name, value), package in PACKAGES.items():
        if name in view.args and view.one(name, "true").lower() == value and not installed(package):
            return package
    return ""


def _bad_preset(view: View) -> str:
    given = view.one("deepspeed")
    if not given or given.lstrip().startswith("{") or Path(given).suffix == ".json":
        return ""
    folder = Path(importlib.util.find_spec("swift").origin).parent / "config"
    return "" if (folder / f"{given}.json").is_file() else given


def _not_registered(view: View, name: str, mapping: str) -> str:
    given = view.one(name)
    if not given:
        return ""
    with tools._silent():
        import swift.model
        import swift.template
        from swift.arguments.base_args.base_args import get_supported_tuners

        known = {
            "model_type": swift.model.MODEL_MAPPING,
            "template": swift.template.TEMPLATE_MAPPING,
            "tuner_type": get_supported_tuners(),
        }[mapping]
    return "" if given in known else given


def _short_dataset(view: View) -> str:
    for name in (*view.args.get("dataset", ()), *view.args.get("val_dataset", ())):
        plain = re.sub(r"(#\d+|:[\w/-]+)+$", "", name)
        if "," in name or ("/" not in plain and not Path(plain).suffix and "$" not in plain):
            return name
    return ""


def _placeholder(view: View) -> str:
    for name in ("adapters", "model", "resume_from_checkpoint", "ref_adapters"):
        for value in view.args.get(name, ()):
            if re.search(r"checkpoint-x+\b|vx-x+|<[\w -]+>|\.\.\.|path/to|/xxx\b", value):
                return value
    return ""


def _no_validation(view: View) -> bool:
    named = {"val_dataset", "cached_val_dataset", "eval_dataset"} & set(view.args)
    return not named and float(view.one("split_dataset_ratio", "0")) == 0


def _local_swanlab(view: View) -> bool:
    key = "swanlab_token" in view.args or "SWANLAB_API_KEY" in view.env
    return "swanlab" in view.args.get("report_to", ()) and view.one("swanlab_mode") != "local" and not key


def _backend(view: View) -> str:
    return view.one("infer_backend", "transformers")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1.0


# fmt: off
TABLE = [
    # ---- refused by the classes, later than by the parser
    Rule("model-type-unknown", SWIFT, "model_type", lambda v: _not_registered(v, "model_type", "model_type"),
         "model_type: {0!r} is no family that ms-swift registers; since 3.0 --model names the model and this flag is rarely needed",
         "", "swift/model/model_meta.py", "bad value"),
    Rule("template-unknown", SWIFT, "template", lambda v: _not_registered(v, "template", "template"),
         "template_type: {0!r} is not registered; without the flag ms-swift picks the model's own",
         "", "swift/template/register.py", "bad value"),
    Rule("tuner-unknown", TRAINING, "tuner_type", lambda v: _not_registered(v, "tuner_type", "tuner_type"),
         "{0!r} is no tuner of ms-swift", "--tuner_type lora", "swift/arguments/base_args/base_args.py", "bad value"),
    Rule("deepspeed-preset", TRAINING, "deepspeed", _bad_preset,
         "{0!r} is neither a preset of ms-swift nor a JSON file", "--deepspeed zero2",
         "swift/arguments/sft_args.py", "bad value"),
    Rule("cache-zero", SERVING, "lmdeploy_cache_max_entry_count",
         lambda v: "lmdeploy_cache_max_entry_count" in v.args and _number(v.one("lmdeploy_cache_max_entry_count")) <= 0,
         "LMDeploy refuses 0, `invalid cache_max_entry_count`: it is the share of free GPU memory for the cache, not a switch",
         "--lmdeploy_cache_max_entry_count 0.8", "lmdeploy/messages.py", "bad value"),
    # ---- taken, and wrong: training
    Rule("packing-needs-flash-attention", TRAINING, "packing",
         lambda v: v.on("packing") and (v.one("attn_impl") not in FLASH or not installed("flash_attn")),
         "packing puts several dialogues in one row and needs flash attention; {flash}",
         "--packing false", "swift/arguments/sft_args.py"),
    Rule("package-missing", SWIFT, "", _missing_package,
         "it needs the package {0}, which is not installed here", "", "importlib.util.find_spec"),
    Rule("target-modules-comma", TRAINING, "target_modules",
         lambda v: any("," in x for x in v.args.get("target_modules", ())),
         "one word with commas is one module name, and no module has it: training stops when the adapter is built",
         "--target_modules {split}", "swift/arguments/tuner_args.py"),
    Rule("template-dated", TRAINING, "template", _dated,
         "ms-swift picks {picked} for this model, and this recipe trains on {0}; {picked} writes the date of the day into the "
         "system block, llama3 writes none, the hub's own chat template writes 26 Jul 2024: without care the served prompt is "
         "not the trained one",
         "--template llama3", "swift/template/templates/llama.py"),
    Rule("no-validation-set", ("swift sft", "swift pt"), "val_dataset", _no_validation,
         "nothing is held out: split_dataset_ratio is 0 since ms-swift 3.6, so evaluation is off and overfitting stays unseen",
         "--split_dataset_ratio 0.02", "swift/arguments/base_args/data_args.py"),
    Rule("dataset-name", SWIFT, "dataset", _short_dataset,
         "{0!r} is neither a file nor an owner/name of a hub; ms-swift 3 dropped short names and commas",
         "--dataset owner/name#1000", "swift/dataset/dataset_syntax.py"),
    Rule("swanlab-cloud", TRAINING, "report_to", _local_swanlab,
         "swanlab_mode is `cloud` unless said, and cloud needs a key: it fails only after the model has loaded",
         "--report_to swanlab --swanlab_mode local", "swift/arguments/sft_args.py"),
    Rule("errors-hidden", SWIFT, "ignore_args_error", lambda v: v.on("ignore_args_error"),
         "a misspelt flag is then ignored in silence", "", "swift/pipelines/base.py"),
    # ---- taken, and wrong: where the model comes from
    Rule("other-hub", SWIFT, "model", lambda v: "" if _uses_hf(v) else other_hub(v.one("model")),
         "this is Hugging Face's name; ms-swift asks ModelScope first, where it is called {0}",
         "--model {0}", "swift/model/models"),
    Rule("placeholder", SWIFT, "adapters", _placeholder,
         "{0} is a placeholder; since 3.0 checkpoints lie in output/<model>/vN-date/checkpoint-N",
         "--adapters output/<model>/vN-<date>/checkpoint-<step>", "swift/utils"),
    Rule("remote-code", SWIFT, "model_revision",
         lambda v: _hub_name(v) if "model_revision" not in v.args else "",
         "remote code is on: ms-swift runs the Python files of a model's repository and has no flag against it, so pin what "
         "you have read",
         "--model_revision <commit>", "swift/model/register.py"),
    # ---- taken, and wrong: serving with ms-swift
    Rule("backend-broken", SERVING, "infer_backend", lambda v: backend_fails(_backend(v)),
         "ms-swift cannot load this LMDeploy: {0}", "lmdeploy serve api_server …", "swift/infer_engine/lmdeploy_engine.py"),
    Rule("base-under-tuned-name", SERVING, "adapters",
         lambda v: _backend(v) == "lmdeploy" and "adapters" in v.args and not v.on("merge_lora"),
         "with lmdeploy ms-swift hands over the base model's folder and drops the adapter: the base model answers under the "
         "tuned name",
         "--merge_lora true", "swift/pipelines/infer/infer.py"),
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
         lambda v: _number(v.one("cache_max_entry_count", "0.8")) >= 1 and v.one("backend", "turbomind") == "turbomind",
         "1 and more is a number of cache blocks, not a share of the memory: a model with one block cannot answer",
         "--cache-max-entry-count 0.8", "lmdeploy/messages.py"),
    Rule("lmdeploy-remote-code", LMDEPLOY, "trust_remote_code", lambda v: "trust_remote_code" in v.args,
         "it runs the Python files that lie in the model's folder; a Llama needs none", "", "lmdeploy/cli/utils.py"),
    Rule("lmdeploy-path-decides", LMDEPLOY, "model",
         lambda v: "" if v.one("chat_template") else by_path((v.positional or ("",))[0]),
         "LMDeploy takes the built-in chat template {0!r} because of the letters in the path, not the model's own",
         "--chat-template hf", "lmdeploy/model.py"),
]
# fmt: on


def sentence(rule: Rule, view: View, found: bool | str) -> tuple[str, str]:
    """The reason and the working flag of a rule that a command breaks."""
    given = view.args.get(rule.flag, ())
    words = {
        "flash": "the package flash_attn is not installed here"
        if view.one("attn_impl") in FLASH
        else "attn_impl says another one",
        "picked": picked_template(view.one("model")) if view.tool in TRAINING else "",
        "split": " ".join(x for v in given for x in v.split(",") if x),
        "given": " ".join(given),
    }
    return rule.says.format(found, **words), rule.instead.format(found, **words)
