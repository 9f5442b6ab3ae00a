"""Rules on one dialogue, after its repairs: what has to be quarantined, and what is worth reading."""

import re
from functools import cache

from . import addresses, advice, cleaning, losses, topics
from .lexicon import SENTENCE

LONG = 30  # letters of a reply: so long, two that share most of their pairs of characters are one
SHORT = 8  # letters of a reply: 「加油！」 and 「别想太多。」 have fewer, a sentence that answers has more
_HAN = re.compile(r"[\u3400-\u9fff\U00020000-\U0003ffff]")
_KANA = re.compile(r"[\u3041-\u3096\u30a1-\u30fa\uff66-\uff9d]")
_OTHER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[A-Za-z\u00c0-\u024f][A-Za-z\u00c0-\u024f'’\-]*")
# A phrase three times on end. Its first two characters differ, for laughter and dashes are none.
_THRICE = re.compile(r"(?=(\w)(?!\1))(.{4,24}?)\2\2")
_LETTERS = re.compile(r"[\W_]+")
# What ChatML, Llama 3, Phi, Zephyr and GLM write around a role. ms-swift's tokenizer would read them as roles.
_ROLE_MARKS = re.compile(
    r"<\|(?:im_(?:start|end|sep)|(?:start|end)_header_id|(?:begin|end)_of_(?:text|turn)|eot_id|eom_id|end(?:oftext)?"
    r"|endofprompt|system|user|assistant|observation|python_tag|finetune_right_pad_id|reserved_special_token_\d+)\|>"
)


def letters(text: str) -> str:
    """The text without punctuation and blanks."""
    return _LETTERS.sub("", text)


def chinese(text: str) -> bool | None:
    """True if the letters of the text are Chinese, None if it has none."""
    han, kana = len(_HAN.findall(text)), len(_KANA.findall(text))
    if han and kana * 6 < han:
        other = len(_OTHER.findall(text)) - han - kana
        return len(_WORD.findall(text)) <= han * 2 and other <= han * 6
    return None if not _OTHER.search(text) else False


def english(reply: str) -> bool:
    """True if a reply is English, be it with a Chinese word in it."""
    words = _WORD.findall(re.sub(r"《[^》]*》", "", addresses.without_urls(reply)))
    return len(words) >= 2 and len(words) > len(_HAN.findall(reply))


def repeated(replies: list[str]) -> bool:
    """True if two replies are the same, or nearly, or if one goes round in a loop."""
    if any(map(loops, replies)):
        return True
    seen: list[tuple[str, set[str]]] = []
    for reply in map(letters, replies):
        pairs = {reply[i : i + 2] for i in range(len(reply) - 1)}
        for other, others in seen:
            shorter, common = min(len(reply), len(other)), len(pairs & others)
            alike = 0.6 if shorter >= LONG else 0.8
            if reply == other and len(reply) >= 3 or shorter >= 8 and common >= alike * len(pairs | others):
                return True
            if shorter >= LONG and common >= 0.95 * min(len(pairs), len(others)):  # one lies in the other
                return True
        seen.append((reply, pairs))
    return False


def loops(reply: str) -> bool:
    """True if a reply says a third of itself twice, or a phrase thrice on end: a model that cannot stop."""
    if _THRICE.search(reply):
        return True
    said = [s for s in map(letters, SENTENCE.findall(reply)) if len(s) >= 5]
    once = sum(map(len, set(said)))
    return len(set(said)) < len(said) and (sum(map(len, said)) - once) * 3 >= len(letters(reply))


def quarantine(messages: list[dict], lost: bool, max_tokens: int) -> list[str]:
    """Codes that take a row out, from its repaired messages; `lost` says that a repair found bytes missing."""
    turns = [m for m in messages if m["role"] != "system"]
    reasons = []
    if any(cleaning.is_blank(m["content"]) for m in messages):
        reasons.append("empty_turn")
    roles = [m["role"] for m in messages]
    spoken = roles[1:] if roles[0] == "system" else roles
    if spoken != [("user", "assistant")[i % 2] for i in range(len(spoken))]:
        reasons.append("role_order")
    if roles[-1] != "assistant":
        reasons.append("no_reply")
    texts = [m["content"] for m in messages]
    if any(map(_ROLE_MARKS.search, texts)):
        reasons.append("role_marks")
    if lost or any(map(losses.garbled, texts)):
        reasons.append("garbled")
    else:
        sides = [chinese("\n".join(m["content"] for m in turns if m["role"] == r)) for r in ("user", "assistant")]
        if False in sides and True not in sides:
            reasons.append("not_chinese")
    if tokens_over("\n".join(texts), max_tokens):
        reasons.append("overlong")
    return reasons


def tokens_over(text: str, limit: int) -> bool:
    """True if Llama-3's tokenizer makes more than `limit` tokens of the text. A token is at least a byte."""
    if len(text) * 3 <= limit or len(text.encode("utf-8", "replace")) <= limit:
        return False
    if len(text) > limit * 20:
        return True
    return len(_tokenizer().encode(text.encode("utf-8", "replace").decode(), bos=False, eos=False)) > limit


@cache
def _tokenizer():
    from .. import llama3

    return llama3.tokenizer()


def flags(messages: list[dict]) -> list[str]:
    """Codes of what is worth reading in a row that is kept."""
    visitor = [m["content"] for m in messages if m["role"] == "user"]
    replies = [m["content"] for m in messages if m["role"] == "assistant"]
    found = {
        "crisis": topics.crisis(visitor, replies),
        "medication": topics.medication(replies),
        "diagnosis": topics.diagnosis(replies),
        "short_reply": any(len(letters(r)) < SHORT for r in replies),
        "repeated_reply": repeated(replies),
        "english_reply": any(map(english, replies)),
        "url": any(addresses.has_url(m["content"]) for m in messages),
        "lecture": any(map(advice.lecture, replies)),
    }
    return [code for code, hit in found.items() if hit]
