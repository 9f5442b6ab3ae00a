"""The prompt a model is served with: the template of its training, written beside the exported tokenizer."""

import json
from pathlib import Path

# A server that finds this mark behind a `<` that a user typed cannot read a role mark there, and the tokenizer drops it
# again: the text stays text, token by token. U+FDD0 is a noncharacter, so no text of a person holds it.
MARK = "\ufdd0"
TEXT = "| trim | replace('<', '<\\ufdd0')"
# Without a system message the one of the training stands in, with an empty one none: so does ms-swift.
TURNS = (
    "{%- if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}{% set turns = messages[1:] %}"
    "{%- else %}{% set system = SYSTEM %}{% set turns = messages %}{% endif %}"
)
CHATML = (
    "{%- if system | trim %}{{ '<|im_start|>system\\n' }}{{ system TEXT }}{{ '<|im_end|>\\n' }}{% endif %}"
    "{%- for m in turns %}{{ '<|im_start|>' + m['role'] + '\\n' }}{{ m['content'] TEXT }}"
    "{{ '<|im_end|>\\n' }}{% endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LLAMA3 = (
    "{{- '<|begin_of_text|>' }}"
    "{%- if system | trim %}{{ '<|start_header_id|>system<|end_header_id|>\\n\\n' }}{{ system TEXT }}"
    "{{ '<|eot_id|>' }}{% endif %}"
    "{%- for m in turns %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' }}{{ m['content'] TEXT }}"
    "{{ '<|eot_id|>' }}{% endfor %}"
    "{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
TEMPLATES = {"chatml": CHATML, "llama3": LLAMA3}  # by ms-swift's name for the template


def jinja(template: str, system: str) -> str:
    """The chat template for a server that joins messages as ms-swift's `template` with this system prompt does."""
    return TURNS.replace("SYSTEM", json.dumps(system)) + TEMPLATES[template].replace("TEXT", TEXT)


def write(folder: Path, sft: dict) -> bool:
    """Give an exported model folder the prompt of its training: `chat_template.jinja`, three changes of the tokenizer.

    The tokenizer drops MARK, looks for role marks before it does, and adds no second begin-of-text.

    Args:
        sft: the `sft` section of a profile (`template`, `system`).

    Returns:
        False where no template for serving is known here; the folder is then left as it is.
    """
    file = folder / "tokenizer.json"
    if sft["template"] not in TEMPLATES or not file.is_file():
        return False
    (folder / "chat_template.jinja").write_text(jinja(sft["template"], sft["system"] or ""), encoding="utf-8")
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    config.pop("chat_template", None)  # older tokenizers carry one here, and it would win
    config.pop("add_bos_token", None)  # the template writes begin-of-text, and once is enough
    _dump(config, folder / "tokenizer_config.json")
    _dump(_changed(json.loads(file.read_text(encoding="utf-8"))), file)
    return True


def _changed(tokenizer: dict) -> dict:
    drop = {"type": "Replace", "pattern": {"String": MARK}, "content": ""}
    before = tokenizer.get("normalizer")
    if before != drop and drop not in (before or {}).get("normalizers", []):
        parts = before["normalizers"] if before and before["type"] == "Sequence" else [before] if before else []
        tokenizer["normalizer"] = {"type": "Sequence", "normalizers": [drop, *parts]} if parts else drop
    for token in tokenizer["added_tokens"]:
        token["normalized"] = False
    tokenizer["post_processor"] = _without_bos(tokenizer.get("post_processor"))
    return tokenizer


def _without_bos(processor: dict | None) -> dict | None:
    """A post-processor without the part that puts special tokens around a text."""
    if not processor or processor["type"] == "TemplateProcessing":
        return None
    if processor["type"] == "Sequence":
        kept = [p for p in processor["processors"] if p["type"] != "TemplateProcessing"]
        return {"type": "Sequence", "processors": kept} if kept else None
    return processor


def _dump(content: dict, file: Path) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")
