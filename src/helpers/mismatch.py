"""The ways in which a served prompt leaves the trained one, planted on purpose to see that `parity` finds them."""

import json
from dataclasses import replace
from pathlib import Path

from . import llama3, models, parity, template
from .profile import Profile


def faults(profile: Profile) -> list[parity.Row]:
    """Pairs of prompts that differ: a common fault each, five for a Llama-3.1-8B, three for another model."""
    own = template.load(profile)
    base = llama3.tokenizer_dir() if llama3.is_shape_of(profile.model) else models.fetch(profile.model)
    asked, marks = parity.cases()["no system message"], parity.cases()["role marks typed by the visitor"]
    trained = {parity.TRAINED: parity.as_trained(own, asked)}
    rows = [
        parity.Row("the base model's own chat template", asked, trained | {parity.SERVED: parity.served(base, asked)}),
        parity.Row("role marks, the base model's own tokenizer", marks, _typed(base, marks)),
    ]
    with parity.as_exported(profile) as folder:
        renamed = folder.parent / "llama2-listener"
        folder.rename(renamed)
        rows.append(
            parity.Row("a path with `llama2` in it", asked, trained | {parity.SERVED: parity.served(renamed, asked)})
        )
        renamed.rename(folder)
        if llama3.is_shape_of(profile.model):
            dated = template.load(_with(profile, template="llama3_2"))
            ids = {
                parity.TRAINED + ", llama3_2": parity.as_trained(dated, asked),
                parity.SERVED: parity.served(folder, asked),
            }
            rows.append(parity.Row("today's date in the system block", asked, ids))
            _add_bos(folder)
            rows.append(
                parity.Row("begin-of-text twice", asked, trained | {parity.SERVED: parity.served(folder, asked)})
            )
    return rows


def _typed(folder: Path, messages: list[dict]) -> dict[str, list[int]]:
    """Ids of a text with role marks: as plain text, and as this tokenizer's server reads it."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = messages[-1]["content"]
    plain = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    read = tokenizer(text, add_special_tokens=False)["input_ids"]
    return {"the text as text": list(plain), "as the server reads it": list(read)}


def _add_bos(folder: Path) -> None:
    """A tokenizer that puts begin-of-text in front of every text, as many of a hub do."""
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8")) | {"add_bos_token": True, "bos_token": "<|begin_of_text|>"}
    file.write_text(json.dumps(config), encoding="utf-8")


def _with(profile: Profile, **sft) -> Profile:
    return replace(profile, sft={**profile.sft, **sft})
