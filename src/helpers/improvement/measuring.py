"""The same things measured of several models in this process: perplexity, greedy answers, which answer they prefer.

Introduced in notebook 08.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import template
from ..evaluation import likelihood, significance
from ..evaluation.metrics import chinese_share, proportion

AT_ONCE = 24  # answers that are decoded together


def adapted(base: Path, adapter: Path):
    """Model and tokenizer of a base model with an adapter merged into it, in memory."""
    from peft import PeftModel

    model, tokenizer = likelihood.load(base)
    return PeftModel.from_pretrained(model, adapter).merge_and_unload().eval(), tokenizer


def under(messages: Sequence[dict], system: str) -> list[dict]:
    """The messages below this system prompt; an empty one means none, also for the template."""
    return [{"role": "system", "content": system}, *(dict(m) for m in messages if m["role"] != "system")]


def surprise(model, profile, talks: Sequence[Sequence[dict]], system: str, last: bool = False) -> np.ndarray:
    """Nats, tokens and characters of the replies in each talk, (n, 3), below a system prompt.

    Args:
        last: count the last reply only.
    """
    own = template.load(profile, "last_round" if last else "default")
    asked = [under(talk, system) for talk in talks]
    lengths = [len(t[-1]["content"]) if last else likelihood.replies(t) for t in asked]
    return likelihood.surprise(model, [template.encode(own, t) for t in asked], lengths)


def answers(model, tokenizer, talks: Sequence[Sequence[dict]], system: str, new_tokens: int) -> list[str]:
    """A greedy answer to each talk, which ends with the visitor.

    Args:
        tokenizer: of the exported model, whose chat template is that of the training.
    """
    import torch

    texts = [tokenizer.apply_chat_template(under(t, system), tokenize=False, add_generation_prompt=True) for t in talks]
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # prompts of about one length need little padding
    found = {}
    for start in range(0, len(order), AT_ONCE):
        some = order[start : start + AT_ONCE]
        batch = tokenizer([texts[i] for i in some], return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.inference_mode():
            made = model.generate(
                input_ids=batch["input_ids"].to(model.device),
                attention_mask=batch["attention_mask"].to(model.device),
                max_new_tokens=new_tokens,
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
        for i, row in zip(some, made[:, batch["input_ids"].shape[1] :], strict=True):
            found[i] = tokenizer.decode(row, skip_special_tokens=True)
    return [found[i] for i in range(len(texts))]


def is_chinese(answer: str) -> bool:
    """True if most letters of an answer are Chinese; an empty answer is not."""
    return chinese_share(answer) >= 0.5


def compare(before: significance.Sums, after: significance.Sums, seed: int) -> dict:
    """Both scores with their intervals, and the paired test of the difference."""
    return {
        "before": significance.interval(before, seed),
        "after": significance.interval(after, seed),
        "paired": significance.paired(before, after, seed),
    }


def compare_passes(before: Sequence[bool], after: Sequence[bool], seed: int) -> dict:
    """The same for pass or fail, in percent, with McNemar's exact test."""
    return {
        "before": proportion(sum(before), len(before)),
        "after": proportion(sum(after), len(after)),
        "paired": significance.passes(before, after, seed),
    }


def preferences(before: np.ndarray, after: np.ndarray, rows: Sequence[dict], beta: float, seed: int) -> dict:
    """How two models see held-out ratings: rows of `surprise` (last reply only) for each rated answer.

    Returns:
        `prefers`: share of questions whose good answer is the likelier one by token, before and after. `reward`: what
        KTO calls the reward, `beta (log p_after - log p_before)`, of bad answers (`before`) and good ones (`after`),
        by question; a positive difference is the margin that the training aims at.
    """
    items = [
        i
        for i in dict.fromkeys(r["item"] for r in rows)
        if {r["label"] for r in rows if r["item"] == i} == {True, False}
    ]
    place = {(r["item"], r["label"]): n for n, r in enumerate(rows)}
    good, bad = ([place[item, label] for item in items] for label in (True, False))
    by_token = [-m[:, 0] / np.maximum(m[:, 1], 1) for m in (before, after)]
    prefers = [list(map(bool, m[good] > m[bad])) for m in by_token]
    reward = beta * (before[:, 0] - after[:, 0])
    return {
        "prefers": compare_passes(*prefers, seed),
        "reward": compare(significance.mean(reward[bad]), significance.mean(reward[good]), seed),
    }


def table(found: dict[str, dict], before: str, after: str):
    """A data frame of comparisons: both scores with their intervals under these two names, n, and the verdict."""
    import pandas as pd

    def cell(score: dict) -> str:
        if score["low"] is None:
            return "–" if score["score"] is None else f"{score['score']:.2f}"
        return f"{score['score']:.2f} [{score['low']:.2f},\u00a0{score['high']:.2f}]"

    rows = {
        name: {before: cell(one["before"]), after: cell(one["after"])}
        | {"n": one["before"]["n"], "in words": one["verdict"]}
        for name, one in found.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")
