"""The model card, written from records; a derivative of Llama 3.1 carries what its licence asks."""

import shutil
from pathlib import Path

from .merge import predictions
from .run import Run


def is_llama_licence(model: dict) -> bool:
    """Whether the base model is under the Llama 3.1 Community License, which asks things of a derivative."""
    return "llama 3.1" in model["license"].lower()


NOTICE = (
    "Llama 3.1 is licensed under the Llama 3.1 Community License, "
    "Copyright © Meta Platforms, Inc. All Rights Reserved.\n"
)


LICENCE = (
    "Its notice stands in `NOTICE`, the agreement in `LICENSE` or at https://www.llama.com/llama3_1/license/, what it "
    "forbids in `USE_POLICY.md` or at https://www.llama.com/llama3_1/use-policy/."
)
OF_META = ("LICENSE*", "USE_POLICY*")  # Meta's own files in the base model's folder, passed on with a derivative


def text(run: Run, record: dict) -> str:
    """The model card, from records alone; a derivative of Llama 3.1 says so in its name, as its licence asks."""
    data, trained, model = run.record("data"), run.record("sft"), run.profile.model
    where = trained["machine"]["gpu"] or trained["machine"]["cpu"]
    llama = is_llama_licence(model)
    name = f"{model['name']}-{run.profile.serve['model_name']}" if llama else run.profile.serve["model_name"]
    built = f"**Built with Llama.** {LICENCE}\n\n" if llama else ""
    weights, saved = record["weights"], predictions.of(record["predictions"], predictions.SAVED)
    chance = predictions.of(record["predictions"], predictions.BY_CHANCE)
    return f"""---
base_model: {model["name"]}
license: {"llama3.1" if llama else model["license"].lower()}
language: zh
library_name: transformers
---
# {name}

{built}{model["name"]} ({model["license"]}), fine-tuned with LoRA for Chinese counselling dialogues, adapter merged.

**This is not a clinician.** In an emergency in mainland China call 12356 (psychological support), 120 or 110.

| | |
|---|---|
| profile | {run.profile.name} |
| data | {", ".join(data["sources"].values())}: {data["train_dialogues"]} dialogues (the book's own are CC BY 4.0) |
| steps | {trained["steps"]} in {trained["seconds"]:.0f} s on {where} |
| held-out loss | {trained["eval_loss_before"]}, then {trained["eval_loss_after"]} ({data["val_rows"]} dialogues) |
| merge | {weights["modules"]} matrices in {weights["format"]}, error {weights["worst"]:.2f} of rounding's bound |
| predictions | {saved["mean_kl"]:.1g} nats a token from base + adapter on {saved["prompts"]} prompts |
| yardstick | {chance["mean_kl"]:.1g} nats a token, where {chance["format"]} rounds by chance |
| prompt | the template `{run.profile.sft["template"]}` of the training, in `chat_template.jinja` |

It must not be used as a therapist, for diagnosis, for advice on medicines, or in a crisis without a person who watches.
Limits: a demonstration of a method. It invents facts, misses risk, and must not be offered to people in need.
"""


def write(run: Run, base: Path, folder: Path, record: dict) -> None:
    """Put the card into a model folder, and for a derivative of Llama the licence's notice, agreement and policy."""
    (folder / "README.md").write_text(text(run, record), encoding="utf-8")
    if is_llama_licence(run.profile.model):
        (folder / "NOTICE").write_text(NOTICE, encoding="utf-8")
        for file in (f for pattern in OF_META for f in base.glob(pattern)):
            shutil.copy(file, folder)
