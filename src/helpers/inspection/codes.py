"""The codes: what each one means, how severe it is, and what is done by default."""

from typing import NamedTuple

from ..errors import UserError

ACTIONS = ("quarantine", "repair", "flag", "off")


class Code(NamedTuple):
    """`action` is what is done by default, `may` what a profile can ask for instead."""

    action: str
    severity: str
    meaning: str
    may: tuple[str, ...]


def _structural(meaning: str) -> Code:  # nothing to train on is left, so there is no choice
    return Code("quarantine", "high", meaning, ("quarantine",))


def _quarantine(severity: str, meaning: str) -> Code:
    return Code("quarantine", severity, meaning, ("quarantine", "flag", "off"))


def _repair(severity: str, meaning: str) -> Code:
    return Code("repair", severity, meaning, ("repair", "quarantine", "flag", "off"))


def _flag(severity: str, meaning: str) -> Code:
    return Code("flag", severity, meaning, ("flag", "quarantine", "off"))


CODES = {
    "bad_json": _structural("the line is not one JSON value"),
    "schema": _structural("no list of turns, an unknown speaker, or a text that is not text"),
    "empty_turn": _structural("a turn without a visible character"),
    "role_order": _structural("speakers do not alternate from visitor to counsellor"),
    "no_reply": _structural("the last turn is not the counsellor's"),
    "duplicate": _quarantine("medium", "the same dialogue as an earlier row"),
    "near_duplicate": _quarantine("medium", "nearly the same dialogue as an earlier row"),
    "contamination": _quarantine("high", "also in the validation, quiz or safety file"),
    "overlong": _quarantine("medium", "longer than the token limit"),
    "not_chinese": _quarantine("medium", "written in another language"),
    "garbled": _quarantine("high", "characters are lost beyond repair"),
    "mojibake": _repair("high", "UTF-8 that was read in another encoding, and nothing is lost"),
    "bom": _repair("low", "a byte order mark in the text"),
    "control_chars": _repair("low", "control or invisible characters, colour codes"),
    "fullwidth_ascii": _repair("low", "full-width letters, digits or signs"),
    "traditional": _repair("low", "traditional characters"),
    "trailing_space": _repair("low", "white space at the end of a turn"),
    "role_alias": _repair("low", "a speaker under another name"),
    "pii_phone": _repair("high", "a telephone number"),
    "pii_id": _repair("high", "a resident identity number"),
    "pii_email": _repair("high", "a mail address"),
    "pii_contact": _repair("high", "a WeChat or QQ number"),
    "pii_bankcard": _repair("high", "a bank card number"),
    "crisis": _flag("high", "the visitor may be in danger, or a danger to others"),
    "medication": _flag("high", "the counsellor advises a medicine or a dose"),
    "diagnosis": _flag("high", "the counsellor states a diagnosis"),
    "short_reply": _flag("low", "a reply of a few characters"),
    "repeated_reply": _flag("medium", "the counsellor says the same thing again"),
    "english_reply": _flag("medium", "an English reply to a Chinese dialogue"),
    "url": _flag("low", "a web address"),
    "lecture": _flag("low", "a reply that lists advice or preaches"),
}


def actions(overrides: dict[str, str] | None = None) -> dict[str, str]:
    """The action for each code, with a profile's overrides.

    Raises:
        UserError: an unknown code, or an action that the code cannot have.
    """
    chosen = {name: code.action for name, code in CODES.items()}
    for name, action in (overrides or {}).items():
        if name not in CODES:
            raise UserError(f"data.inspect names no code {name!r}; there are: {', '.join(CODES)}.")
        if action not in CODES[name].may:
            raise UserError(f"data.inspect: {name} cannot be {action!r}; choose from: {', '.join(CODES[name].may)}.")
        chosen[name] = action
    return chosen
