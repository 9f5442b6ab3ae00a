"""One row, from its text to a verdict."""

import hashlib
import json
from typing import NamedTuple

import numpy as np

from . import cleaning, duplicates, forms, mojibake, personal_data, rules

KEPT_FIELDS = ("id", "topic", "risk")
# In this order: a mark or a control character hides what comes after it, and what is masked has been made plain.
REPAIRS = {
    "bom": cleaning.without_marks,
    "mojibake": lambda text: mojibake.repair(text)[0],
    "control_chars": cleaning.without_controls,
    "fullwidth_ascii": cleaning.halfwidth,
    "traditional": cleaning.simplified,
    **personal_data.MASKS,
    "trailing_space": cleaning.without_trailing_space,
}


class Settings(NamedTuple):
    """What the verdict on a row depends on besides the row."""

    actions: dict[str, str]
    max_tokens: int
    others: duplicates.Others


class Verdict(NamedTuple):
    """`reasons` quarantine; `messages` are the repaired turns, None where the row is in no form."""

    text: str
    encoding: str
    messages: list[dict] | None
    fields: dict
    reasons: list[str]
    repairs: list[dict]
    flags: list[str]
    same_as: str | None
    signature: np.ndarray | None
    exact: int


def repaired(text: str, actions: dict[str, str]) -> tuple[str, list[tuple[str, str, str]], list[str]]:
    """The text after its repairs, `(code, before, after)` for each, and codes found but not to be repaired."""
    done, only_found = [], []
    for _ in range(3):  # a repair may bring another to light; the third round finds nothing
        start = text
        for code, function in REPAIRS.items():
            if actions[code] == "off" or code.startswith("pii_") and not personal_data.may_be_in(text):
                continue
            after = function(text)
            if after == text:
                continue
            if actions[code] == "repair":
                done.append((code, text, after))
                text = after
            elif code not in only_found:
                only_found.append(code)
        if text == start:
            break
    return text, done, only_found


def judge(text: str, encoding: str, settings: Settings) -> Verdict:
    """Read, repair and check one row; never raises for what the row holds."""
    actions = settings.actions
    repairs, found, lost = [], [], False
    if text.startswith("\ufeff"):
        repairs.append({"code": "bom", "before": "\ufeff", "after": "", "turn": None})
    try:
        if encoding == "bytes":
            raise forms.Refused("bad_json")
        row = forms.parse(text.lstrip("\ufeff"))
        messages, aliases = forms.messages(row)
    except forms.Refused as refused:
        return Verdict(text, encoding, None, {}, [refused.code], [], [], None, None, 0)
    repairs += aliases
    for place, message in enumerate(messages):
        content = message["content"]
        lost |= mojibake.repair(cleaning.without_marks(content))[1]
        message["content"], done, only_found = repaired(content, actions)
        repairs += [{"code": c, "before": b, "after": a, "turn": place} for c, b, a in done]
        found += only_found
    reasons = [r for r in rules.quarantine(messages, lost, settings.max_tokens) if actions[r] != "off"]
    flags = [r for r in reasons if actions[r] == "flag"]
    reasons = [r for r in reasons if actions[r] == "quarantine"]
    reasons += [c for c in dict.fromkeys(found) if actions[c] == "quarantine"]
    flags += [c for c in dict.fromkeys(found) if actions[c] == "flag"]
    same_as, signature, exact = None, None, 0
    if not reasons:
        worth = rules.flags(messages)
        flags += [c for c in worth if actions[c] == "flag"]
        reasons += [c for c in worth if actions[c] == "quarantine"]
        plain = rules.letters("".join(m["content"] for m in messages if m["role"] != "system"))
        hashes = duplicates.grams(plain)
        if actions["contamination"] != "off" and (same_as := settings.others.repeated_by(hashes)):
            (reasons if actions["contamination"] == "quarantine" else flags).append("contamination")
    if not reasons:
        signature = duplicates.signature(hashes)
        words = json.dumps([(m["role"], "".join(m["content"].split())) for m in messages if m["role"] != "system"])
        exact = int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), "big")
    fields = {k: row[k] for k in KEPT_FIELDS if k in row}
    if "messages" in row and isinstance(row.get("line"), int):  # it comes from an earlier inspection
        fields |= {k: row[k] for k in ("file", "line") if k in row}
    return Verdict(text, encoding, messages, fields, reasons, repairs, flags, same_as, signature, exact)
