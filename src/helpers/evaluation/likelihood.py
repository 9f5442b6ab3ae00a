"""What a model finds likely, read from its probabilities in this process: nothing is generated, so it takes seconds.

Held-out perplexity is the same for base and tuned only where they cut text alike, so it is given per character as
well: tokenizers compare by it. Introduced in notebook 07.
"""

from collections.abc import Sequence
from os.path import commonprefix  # of any sequences, not of paths alone
from pathlib import Path

import numpy as np

from .significance import Sums

BATCH = 8  # prompts in one forward pass


def load(folder: Path):
    """Model and tokenizer of a folder: float32 on the CPU, bfloat16 on a GPU."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # a notebook would show it in red
    gpu = torch.cuda.is_available()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16 if gpu else torch.float32)
    return model.to("cuda" if gpu else "cpu").eval(), AutoTokenizer.from_pretrained(folder)


def surprise(model, dialogues: Sequence[dict], characters: Sequence[int]) -> np.ndarray:
    """How surprised a model is by the replies of each dialogue.

    Args:
        dialogues: `input_ids` and `labels` (-100: not a reply) of `template.encode`.
        characters: length of each dialogue's replies.

    Returns:
        For each dialogue nats, tokens and characters, (n, 3).
    """
    import torch

    rows = []
    for encoded, length in zip(dialogues, characters, strict=True):
        ids = torch.tensor([encoded["input_ids"]], device=model.device)
        labels = torch.tensor(encoded["labels"], device=model.device)[1:]
        with torch.inference_mode():
            taught = labels != -100
            hidden = model.get_decoder()(input_ids=ids).last_hidden_state[0, :-1]
            # float64: a sum over hundreds of tokens, compared between models to several digits
            logits = model.get_output_embeddings()(hidden[taught]).double()
        nats = torch.nn.functional.cross_entropy(logits, labels[taught], reduction="sum")
        rows.append([float(nats), int(taught.sum()), length])
    return np.asarray(rows, dtype=float).reshape(-1, 3)


def perplexity(rows: np.ndarray) -> dict[str, Sums]:
    """Perplexity of the rows of `surprise`, by token and by character; 1 is certainty, lower is better."""

    def by(column: int) -> Sums:
        return Sums(rows, lambda s: np.exp(s[..., 0] / np.where(s[..., column] == 0, 1, s[..., column])))

    return {"perplexity": by(1), "perplexity_character": by(2)}


def replies(messages: Sequence[dict]) -> int:
    """Characters of the counsellor's turns in a dialogue."""
    return sum(len(m["content"]) for m in messages if m["role"] == "assistant")


def next_token(model, tokenizer, prompts: Sequence[str]) -> np.ndarray:
    """Log-probabilities of the token that follows each prompt, (n, vocabulary), float64.

    What the prompts of one batch begin with alike is computed once: give those together that share most.

    Args:
        prompts: whole texts, with every special token that belongs to them.
    """
    import torch

    ids = [tokenizer(p, add_special_tokens=False)["input_ids"] for p in prompts]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))  # prompts of one length need no padding
    found: dict[int, np.ndarray] = {}
    for start in range(0, len(order), BATCH):
        some = order[start : start + BATCH]
        longest = max(len(ids[i]) for i in some)
        same = min(len(commonprefix([ids[i] for i in some])), len(ids[some[0]]) - 1) if len(some) > 1 else 0
        # Padding stands behind the prompt, where no token of the prompt looks; what it holds does not matter.
        x = torch.tensor([ids[i][same:] + [0] * (longest - len(ids[i])) for i in some], device=model.device)
        mask = torch.tensor([[1] * len(ids[i]) + [0] * (longest - len(ids[i])) for i in some], device=model.device)
        with torch.inference_mode():
            seen = None
            if same:
                first = torch.tensor([ids[some[0]][:same]], device=model.device)
                seen = model.get_decoder()(input_ids=first, use_cache=True).past_key_values
                seen.batch_repeat_interleave(len(some))
            hidden = model.get_decoder()(input_ids=x, attention_mask=mask, past_key_values=seen).last_hidden_state
            last = hidden[torch.arange(len(some)), mask.sum(-1) - 1 - same]
            logits = model.get_output_embeddings()(last).double()
        for i, row in zip(some, logits.log_softmax(-1).cpu().numpy(), strict=True):
            found[i] = row
    return np.stack([found[i] for i in range(len(ids))]) if ids else np.zeros((0, 0))
