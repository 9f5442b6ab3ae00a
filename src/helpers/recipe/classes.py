"""The installed tools, asked: does their own class take these arguments together?"""

import contextlib
import re
from dataclasses import fields
from pathlib import Path
from unittest import mock

from . import tools
from .aside import Refused, elsewhere, raising, silent

MISSING = "it needs the package {0}, which is not installed here"
CARDS = 64  # a recipe for many GPUs is judged here without one
JOINS = ("rlhf_args.set_default_ddp_config", "export_args.set_default_ddp_config", "export_args.init_process_group")
# Files, folders, accounts and packages of somebody else's machine: left out when the class is asked, checked by rules.
THEIRS = (
    "adapters ref_adapters reward_model teacher_model resume_from_checkpoint external_plugins "
    "custom_register_path custom_dataset_info hub_token push_to_hub swanlab_token swanlab_mode report_to deepspeed "
    "fsdp tf32 logging_dir model_type template system local_rank device_map max_memory model_kwargs new_special_tokens "
    "use_hf columns quant_method quant_bits use_liger_kernel mcore_model mcore_adapter result_path reward_funcs "
    "cached_dataset cached_val_dataset ddp_backend"
).split()


def construct(tool: str, given: dict[str, tuple[str, ...]], env: dict | None = None) -> str:
    """Give the arguments to the tool's own class, with a small stand-in for the model; '' or what it says against them.

    Args:
        given: values by argument name. What lies on somebody else's machine is left out first.
        env: the recipe's variables; NPROC_PER_NODE and NNODES say how many processes share a batch.
    """
    with silent(), elsewhere():
        try:
            return _lmdeploy(given) if tool.startswith("lmdeploy") else _swift(tool, given, env or {})
        except ModuleNotFoundError as error:
            return MISSING.format(error.name)
        except (Refused, ValueError, AssertionError, TypeError, ImportError, OSError, AttributeError) as error:
            said = _first_sentence(error)
            return "" if str(_stand_in()) in said else said  # about the stand-in, not about the recipe


def processes(env: dict) -> int:
    """How many processes a recipe trains with; 8 a node where only its shell knows."""
    count = 1
    for name in ("NPROC_PER_NODE", "NNODES"):
        text = str(env.get(name, 1))
        count *= int(text) if text.isdigit() else 8
    return count


def _stand_in() -> Path:
    """A folder with Llama 3.1's configuration and tokenizer: all that the classes open of a model."""
    from .. import llama3

    return llama3.tokenizer_dir()


def _swift(tool: str, given: dict, env: dict) -> str:
    words = []
    for dest, values in given.items():
        if dest == "ref_model":
            words += ["--ref_model", str(_stand_in())]
        elif dest not in THEIRS and dest != "model":
            words += [f"--{dest}", *values]
    has_model = "model" in given or (given.get("adapters") and "sft" not in tool and "pt" not in tool)
    if has_model:
        words += ["--model", str(_stand_in()), "--model_type", "llama", "--template", "llama3"]
    has = {f.name for f in fields(tools.arguments(tool))}
    if "use_cpu" in has:
        words += ["--use_cpu", "true"]  # a recipe for a GPU is judged here without one
        words += ["--report_to", "none"]
    words += (
        ["--output_dir", "made-by-check"] if "output_dir" in {f.name for f in fields(tools.arguments(tool))} else []
    )
    from swift.utils import parse_args
    from transformers import TrainingArguments

    with contextlib.ExitStack() as stack:
        stack.enter_context(raising())
        stack.enter_context(mock.patch("swift.arguments.deploy_args.get_device_count", lambda: CARDS))
        stack.enter_context(mock.patch.object(TrainingArguments, "world_size", processes(env)))
        for name in JOINS:  # a process that joins a group listens on a port until it ends
            stack.enter_context(mock.patch(f"swift.arguments.{name}", lambda *_, **__: None))
        _, left = parse_args(tools.arguments(tool), words)
    return tools.left_over(tool, tuple(left)) if left else ""


def _lmdeploy(given: dict) -> str:
    from lmdeploy import messages

    words = [w for dest, values in given.items() for w in (f"--{dest.replace('_', '-')}", *values)]
    with raising():
        space = tools.parser("lmdeploy serve api_server").parse_args(["model", *words])
    engine = messages.PytorchEngineConfig if space.backend == "pytorch" else messages.TurbomindEngineConfig
    names = {f.name for f in fields(engine)} & set(vars(space)) - {"adapters", "role", "migration_backend"}
    engine(**{n: getattr(space, n) for n in names if n in given})
    from lmdeploy.cli.utils import get_chat_template, get_lora_adapters

    get_chat_template(space.chat_template, "model")
    get_lora_adapters(space.adapters)
    return ""


def _first_sentence(error: BaseException) -> str:
    lines = [x.strip() for x in str(error).splitlines() if x.strip()]
    # pydantic puts its summary first and the reason below it
    said = next(
        (x for x in lines if "error" in x.lower() and "[type=" in x), lines[0] if lines else type(error).__name__
    )
    return re.sub(r"\s*\[type=.*", "", said)[:300]
