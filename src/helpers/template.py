"""The chat template: messages become tokens and a loss mask, as ms-swift makes them for training."""

from . import llama3, models


def load(profile, loss_scale: str = "default"):
    """ms-swift's own template in training mode: `encode({"messages": …})` gives `input_ids` and `labels`.

    Args:
        loss_scale: whose tokens teach, in ms-swift's own words: `default`, `last_round`, `all`.
    """
    import transformers
    from swift.utils import get_logger

    get_logger().setLevel("ERROR")
    transformers.utils.logging.set_verbosity_error()  # a notebook shows what is written to stderr in red
    from swift import get_processor, get_template

    folder = llama3.tokenizer_dir() if llama3.is_shape_of(profile.model) else models.fetch(profile.model)
    processor = get_processor(str(folder), model_type="llama")
    chosen = get_template(
        processor,
        template_type=profile.sft["template"],
        default_system=profile.sft["system"],
        loss_scale=loss_scale,
    )
    chosen.set_mode("train")
    return chosen


def encode(template, messages: list[dict]) -> dict:
    """`input_ids` and `labels` (-100: no loss) of one dialogue; the messages are left as they are."""
    return template.encode({"messages": [dict(m) for m in messages]})


def lengths(rows: list[dict], template) -> list[dict]:
    """Per dialogue: tokens as trained, supervised tokens, tokens in Llama-3's tokenizer, characters, turns, topic."""
    meta = llama3.tokenizer()
    out = []
    for row in rows:
        encoded = encode(template, row["messages"])
        text = "".join(m["content"] for m in row["messages"])
        out.append(
            {
                "tokens": len(encoded["input_ids"]),
                "supervised": sum(x != -100 for x in encoded["labels"]),
                "llama3_tokens": len(meta.encode(text, bos=False, eos=False)),
                "characters": len(text),
                "turns": len(row["messages"]) // 2,
                "topic": row.get("topic", "not given"),
            }
        )
    return out


def pieces(messages: list[dict], template, max_length: int) -> list[list[dict]]:
    """Cut a dialogue between exchanges into consecutive pieces of at most `max_length` tokens each.

    Args:
        messages: visitor and counsellor in turn, without a system prompt.

    Returns:
        One piece where all of it fits. An exchange that is too long by itself is in no piece.
    """
    cut, start = [], 0
    while start < len(messages):
        end = start
        while end < len(messages) and len(encode(template, messages[start : end + 2])["input_ids"]) <= max_length:
            end += 2
        if end > start:
            cut.append(messages[start:end])
        start = max(end, start + 2)
    return cut
