"""The ways in which a served prompt leaves the trained one, planted on purpose to see that `parity` finds them."""

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
            ids = trained | {"a server that encodes the text": _as_text(folder, asked)}
            rows.append(parity.Row("begin-of-text twice", asked, ids))
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
    """What the tokenizer of many a hub does: begin-of-text in front of every text, a template's too."""
    from tokenizers import Tokenizer, processors

    file, bos = str(folder / "tokenizer.json"), "<|begin_of_text|>"
    tokenizer = Tokenizer.from_file(file)
    special = [(bos, tokenizer.token_to_id(bos))]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=special)
    tokenizer.save(file)


def _as_text(folder: Path, messages: list[dict]) -> list[int]:
    """Ids of a server that makes the template's text and encodes it like any other. LMDeploy drops the second mark."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return tokenizer.encode(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))


def _with(profile: Profile, **sft) -> Profile:
    return replace(profile, sft={**profile.sft, **sft})
