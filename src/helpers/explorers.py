"""What the explorers of the page *Try it* show, recorded for a page that has no Python: `python -m helpers.explorers`.

Three files in `book/explorers/`: the coefficients of page 4's formula, next-token distributions of the rehearsal's base
model, and the lengths of the shipped training dialogues. A minute on a laptop; nothing is trained.
"""

import json
import math
import sys
from pathlib import Path

from . import models, template
from .profile import REFERENCE, ROOT, load

FOLDER = ROOT / "book" / "explorers"
SHOWN = 200  # tokens that are kept one by one
STEP = 0.05  # width in logits of the bins that hold the other tokens
# Beginnings of answers. The last is Chinese: there the model often continues with a piece of a character.
BEGINNINGS = {
    "exam": ("I can't sleep before my exam.", "I'm sorry to hear that. It sounds like you are feeling"),
    "sky": ("What colour is the sky?", "The sky is"),
    "chinese": ("我最近总是睡不着。", "听起来你很"),
}


def lengths(rows: list[dict], own) -> dict:
    """Tokens of each dialogue in both tokenizers, sorted, and the share of the training tokens that is supervised.

    Args:
        rows: ShareGPT rows.
        own: the training template of a profile.
    """
    role = {"human": "user", "gpt": "assistant"}
    talks = [{"messages": [{"role": role[t["from"]], "content": t["value"]} for t in r["conversations"]]} for r in rows]
    counted = template.lengths(talks, own)
    return {
        "supervised_share": round(sum(c["supervised"] for c in counted) / sum(c["tokens"] for c in counted), 4),
        "tokens": {
            "SmolLM2": sorted(c["tokens"] for c in counted),
            "Llama 3": sorted(c["llama3_tokens"] for c in counted),
        },
    }


def vram(share: float) -> dict:
    """Page 4's closed form of the 8B recipe, and the cards.

    Args:
        share: of the tokens that get logits, where the explorer starts.
    """
    from .vram import fits, fitting, of_profile
    from .vram.cards import CARDS

    recipe = of_profile(load("h100-llama3.1-8b"))
    return {
        "recipe": "h100-llama3.1-8b",
        "supervised_share": share,
        "margin": fits.MARGIN,
        "cards": {c.name: {"gib": c.gib, "context": c.context} for c in CARDS.values()},
        "coefficients": {name: fitting.fit_tokens(way).lines for name, way in fits.ways(recipe).items()},
    }


def binned(logits, names) -> dict:
    """A next-token distribution in little space: the likeliest tokens one by one, the others counted by logit.

    Args:
        logits: of the whole vocabulary, float64, in nats; `names` says how to write a token.

    Returns:
        `tokens` ([text, logit], likeliest first), `others` ([logit, count], likeliest first); logits below the highest.
    """
    below = logits - logits.max()
    order = below.argsort()[::-1]
    rest: dict[int, int] = {}
    for value in below[order[SHOWN:]]:
        rest[round(value / STEP)] = rest.get(round(value / STEP), 0) + 1
    return {
        "tokens": [[names(int(i)), round(float(below[i]), 4)] for i in order[:SHOWN]],
        "others": [[round(k * STEP, 4), n] for k, n in sorted(rest.items(), reverse=True)],
    }


def written(tokenizer, token: int) -> str:
    """How a reader sees a token: spaces as ␣, and the bytes of a piece of a character in hexadecimal."""
    text = tokenizer.decode([token])
    if "\ufffd" not in text:
        return text.replace(" ", "␣").replace("\n", "⏎") or tokenizer.convert_ids_to_tokens(token)
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    back = {letter: byte for byte, letter in bytes_to_unicode().items()}
    return "‹" + " ".join(f"{back[letter]:02x}" for letter in tokenizer.convert_ids_to_tokens(token)) + "›"


def sampling(profile) -> dict:
    """What a profile's base model says next, after each of `BEGINNINGS`, with the mass that the record must keep."""
    import torch

    from .evaluation.likelihood import load as load_model

    model, tokenizer = load_model(models.fetch(profile.model))
    out = {}
    for name, (question, answer) in BEGINNINGS.items():
        talk = [{"role": "user", "content": question}]
        text = tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True) + answer
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids.to(model.device)
        with torch.inference_mode():
            logits = model(input_ids=ids).logits[0, -1].double().cpu()
        kept = {t: float((logits / t).softmax(0).sort(descending=True)[0][:SHOWN].sum()) for t in (0.5, 1.0, 2.0)}
        out[name] = {"question": question, "answer": answer, "mass_of_tokens": kept}
        out[name] |= binned(logits.numpy(), lambda token: written(tokenizer, token))
    return {"model": profile.model["name"], "vocabulary": len(logits), "beginnings": out}


def write(folder: Path = FOLDER) -> None:
    """Make the three files."""
    profile = load(REFERENCE)
    rows = [json.loads(x) for x in (ROOT / profile.data["train"]).read_text(encoding="utf-8").splitlines()]
    found = {"lengths": lengths(rows, template.load(profile))}
    found["vram"] = vram(math.floor(100 * found["lengths"]["supervised_share"]) / 100)
    found["sampling"] = sampling(profile)
    folder.mkdir(exist_ok=True)
    for name, value in found.items():
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        print(f"{name}.json: {len(text):,} characters", file=sys.stderr)


if __name__ == "__main__":
    write()
