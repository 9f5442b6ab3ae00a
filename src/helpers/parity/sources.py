"""Token ids of one dialogue: as trained, as exported, as LMDeploy feeds its engine, as Meta writes them."""

import asyncio
import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .. import llama3, template

TRAINED, EXPORTED, SERVED, META = (
    "ms-swift, as trained",
    "exported tokenizer",
    "LMDeploy's server",
    "Meta's chat_format",
)
REPLY = "好"  # stands for the reply that is asked for; training learns it, a prompt ends before it


def as_trained(own, messages: list[dict]) -> list[int]:
    """ms-swift's ids up to where the reply begins; `own` is `template.load(profile)`. Page 02 strips every message."""
    stripped = [{**m, "content": m["content"].strip()} for m in messages]
    encoded = template.encode(own, [*stripped, {"role": "assistant", "content": REPLY}])
    end = len(encoded["labels"])
    while encoded["labels"][end - 1] == -100:  # a line end behind the last reply is not learned
        end -= 1
    while encoded["labels"][end - 1] != -100:
        end -= 1
    return encoded["input_ids"][:end]


def exported(folder: Path, messages: list[dict]) -> list[int]:
    """Ids from the chat template beside a model's tokenizer."""
    tokenizer = _tokenizer(folder, _stamp(folder))
    return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))


def served(folder: Path, messages: list[dict]) -> list[int]:
    """Ids that LMDeploy's server hands to its engine for these messages: its own template, processor and tokenizer."""
    processor = _processor(folder, _stamp(folder))
    made = processor.get_prompt_input(prompt=messages, do_preprocess=True, adapter_name=None)
    with ThreadPoolExecutor(1) as pool:  # a notebook has an event loop of its own already
        return list(pool.submit(asyncio.run, made).result()["input_ids"])


def metas(messages: list[dict], system: str) -> list[int]:
    """Ids from Meta's own code (PyPI `llama-models`), which takes a conversation as it is, stripped."""
    from llama_models.datatypes import RawMessage, StopReason
    from llama_models.llama3.chat_format import ChatFormat

    if messages[0]["role"] != "system":
        messages = [{"role": "system", "content": system}, *messages]
    ending = {"assistant": {"stop_reason": StopReason.end_of_turn}}
    raw = [
        RawMessage(role=m["role"], content=m["content"].strip(), **ending.get(m["role"], {}))
        for m in messages
        if m["role"] != "system" or m["content"].strip()
    ]
    return ChatFormat(llama3.tokenizer()).encode_dialog_prompt(raw).tokens


def _stamp(folder: Path) -> tuple:
    """Changes with the files that a prompt depends on; loading them takes seconds."""
    names = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
    return tuple((folder / n).stat().st_mtime_ns for n in names if (folder / n).is_file())


@functools.lru_cache(maxsize=4)
def _tokenizer(folder: Path, stamp: tuple):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@functools.lru_cache(maxsize=4)
def _processor(folder: Path, stamp: tuple):
    from lmdeploy.model import get_chat_template
    from lmdeploy.serve.processors import MultimodalProcessor
    from lmdeploy.tokenizer import Tokenizer

    return MultimodalProcessor(Tokenizer(str(folder)), get_chat_template(str(folder)))
