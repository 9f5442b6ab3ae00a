"""What the rules look at: one small question each about a command, or about the installed packages."""

import functools
import importlib
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from .aside import silent


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

    @property
    def folder(self) -> str:
        """The word in front of the flags: LMDeploy's model."""
        return (self.positional or ("",))[0]

    def on(self, name: str) -> bool:
        """Whether a switch is given and on."""
        return name in self.args and self.one(name, "true").lower() in ("true", "1", "yes", "y", "t")


FLASH = ("flash_attn", "flash_attention_2", "flash_attention_3", "flash_attention_4")


def installed(package: str) -> bool:
    """Whether a package can be imported here."""
    return importlib.util.find_spec(package) is not None


@functools.cache
def picked_template(model: str) -> str:
    """The template that ms-swift picks for a model by its name, '' if it knows none."""
    with silent():
        from swift.model.model_meta import get_matched_model_meta

        meta = get_matched_model_meta(model) if model else None
    return getattr(meta, "template", None) or ""


@functools.cache
def backend_fails(backend: str) -> str:
    """What ms-swift says when it loads its LMDeploy engine, '' if it loads."""
    if backend != "lmdeploy":
        return ""
    with silent():
        try:
            importlib.import_module("swift.infer_engine.lmdeploy_engine")
        except Exception as error:  # whatever it is, the server does not start
            return str(error).split(" (/")[0]
    return ""


@functools.cache
def by_path(path: str) -> str:
    """The built-in chat template that LMDeploy takes for a path because of its letters, '' for the model's own."""
    with silent():
        from unittest import mock

        from lmdeploy import model

        # some look into the folder or ask a hub for it; only the letters are asked about here
        nothing = mock.Mock(side_effect=OSError)
        with mock.patch.object(model, "get_model_arch", nothing):
            for name, template in model.MODELS.module_dict.items():
                try:
                    if name not in ("hf", "base") and template.match(path):
                        return name
                except OSError:
                    continue
    return ""


def dated(view: View) -> str:
    """The template in force if the prompt of training is not the prompt that the hub's own template makes."""
    if view.kind == "profile" and view.one("model").startswith("./"):
        return ""  # a profile of this book: stage 05 puts the template of training beside the tokenizer
    picked = picked_template(view.one("model"))
    chosen = view.one("template", picked)
    return chosen if picked == "llama3_2" and chosen in ("llama3", "llama3_2") else ""


def missing(view: View, name: str, value: str, package: str) -> bool:
    """Whether an argument asks for a package that is not here."""
    return name in view.args and view.one(name, "true").lower() == value.lower() and not installed(package)


def without_flash(view: View, name: str) -> bool:
    """Whether a switch is on that needs flash attention, and flash attention is not in force or not here."""
    return view.on(name) and (view.one("attn_impl") not in FLASH or not installed("flash_attn"))


def bad_preset(view: View) -> str:
    """A value of --deepspeed that is neither a preset nor JSON, '' otherwise."""
    given = view.one("deepspeed")
    if not given or given.lstrip().startswith("{") or Path(given).suffix == ".json":
        return ""
    folder = Path(importlib.util.find_spec("swift").origin).parent / "config"
    return "" if (folder / f"{given}.json").is_file() else given


def not_registered(view: View, name: str) -> str:
    """A value that ms-swift's own registry does not hold, '' otherwise."""
    given, name = view.one(name), name.removeprefix("ref_")
    if not given or "$" in given:
        return ""
    with silent():
        import swift.model
        import swift.template
        from swift.arguments.base_args.base_args import get_supported_tuners

        known = {
            "model_type": swift.model.MODEL_MAPPING,
            "template": swift.template.TEMPLATE_MAPPING,
            "tuner_type": get_supported_tuners(),
        }[name]
    return "" if given in known else given


def short_dataset(view: View) -> str:
    """A data set that is neither a file nor a hub's owner/name, '' if there is none."""
    for name in (*view.args.get("dataset", ()), *view.args.get("val_dataset", ())):
        plain = re.sub(r"(#\d+|:[\w/-]+)+$", "", name)
        if "," in name or ("/" not in plain and not Path(plain).suffix and "$" not in plain):
            return name
    return ""


def placeholder(view: View, name: str) -> str:
    """A path that the reader was meant to fill in, '' if there is none."""
    pattern = r"checkpoint-x+\b|vx-x+|<[\w -]+>|\.\.\.|path/to|/xxx\b"
    return next((value for value in view.args.get(name, ()) if re.search(pattern, value)), "")


def no_validation(view: View) -> bool:
    """Whether training holds nothing out."""
    named = {"val_dataset", "cached_val_dataset", "eval_dataset"} & set(view.args)
    return not named and float(view.one("split_dataset_ratio", "0")) == 0


def cloud_swanlab(view: View) -> bool:
    """Whether SwanLab would ask its cloud, without a key."""
    key = "swanlab_token" in view.args or "SWANLAB_API_KEY" in view.env
    return "swanlab" in view.args.get("report_to", ()) and view.one("swanlab_mode") != "local" and not key


def backend(view: View) -> str:
    """The inference backend in force."""
    return view.one("infer_backend", "transformers")


def number(text: str) -> float:
    """A number, -1 for anything else."""
    try:
        return float(text)
    except ValueError:
        return -1.0
