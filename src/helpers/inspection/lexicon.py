"""The flags `crisis`, `medication` and `diagnosis`, from the words and context rules in data/lexicon.yaml."""

import re
from collections.abc import Iterator
from functools import cache

import yaml

from ..profile import ROOT
from .patterns import Sieve

FILE = ROOT / "data" / "lexicon.yaml"
SENTENCE = re.compile(r"[^。！？!?；;\n]+[。！？!?；;\n]*")
_GAP = "[^，。！？；,!?;\n]{0,6}"  # …
_ALTERNATIVES = re.compile(r"\|(?![^(]*\))")
_WIDE = "[^。！？；!?;\n]{0,18}"  # ～


@cache
def words() -> dict:
    """The whole lexicon."""
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


@cache
def pattern(phrases: tuple[str, ...], topic: str = "crisis") -> re.Pattern:
    """One pattern for the phrases, in the notation that the head of the lexicon describes."""
    return re.compile("|".join(f"(?:{_expanded(p, topic)})" for p in phrases))


def _expanded(phrase: str, topic: str = "crisis") -> str:
    lists, phrase = words()[topic]["lists"], str(phrase)
    while named := re.search(r"\{([^\W\d][^{}]*)\}", phrase):  # a list may name another
        found = [lists.get(name, [name]) for name in _ALTERNATIVES.split(named[1])]
        found = [w for some in found for w in (some.split() if isinstance(some, str) else some)]
        phrase = phrase.replace(named[0], f"(?:{'|'.join(map(str, found))})")
    return re.sub(r"\((?!\?)", "(?:", phrase).replace("…", _GAP).replace("～", _WIDE)


@cache
def _signs(strength: str) -> Sieve:
    signs = words()["crisis"][strength].items()
    return Sieve([(name, [_expanded(p)], []) for name, sign in signs for p in sign["phrases"]])


def _spelled_out(text: str) -> str:
    for plain, spellings in words()["crisis"]["spelled"].items():
        text = re.sub(spellings, plain, text)
    return text


@cache
def _joined(topic: str, part: str) -> Sieve:
    """Rules that ask for several ideas in one sentence, in any order."""
    made = []
    for name, sign in words()[topic][part].items():
        for rule in sign.get("rules", []):
            ideas = [_expanded(part.removeprefix("!"), topic) for part in rule.split(" & ")]
            unwanted = [part[0] == "!" for part in rule.split(" & ")]
            made.append((name, *([i for i, u in zip(ideas, unwanted, strict=True) if u is no] for no in (False, True))))
    return Sieve(made)


@cache
def _context() -> dict[str, re.Pattern]:
    rules, made = words()["crisis"]["ignored"], {}
    for name, rule in rules.items():
        for part in ("phrases", "needs"):
            if part in rule:
                made[name if part == "phrases" else f"{name}.{part}"] = pattern(tuple(rule[part]))
        if "before" in rule:
            then = "|".join(_expanded(w) for w in rule.get("then", ["$^"]))
            made[name] = re.compile(f"(?:{'|'.join(map(_expanded, rule['before']))})(?:{then})*$")
    for name, phrases in words()["crisis"]["counsellor"].items():
        made[name] = pattern(tuple(phrases) if isinstance(phrases, list) else (phrases,))
    return made


def crisis(visitor: list[str], counsellor: list[str]) -> bool:
    """True if a visitor's words point to danger: the signs of the lexicon, less what it says to ignore."""
    return bool(reasons(visitor, counsellor))


def concerned(counsellor: list[str]) -> bool:
    """True if the replies ask about safety or death, or name a lifeline."""
    rules, replies = _context(), "\n".join(counsellor)
    if rules["asks_death"].search(replies) or rules["lifeline"].search(replies):
        return True
    return bool(rules["hotline"].search(replies) and rules["asks_safety"].search(replies))


def reasons(visitor: list[str], counsellor: list[str]) -> list[str]:
    """The names of the signs that make a dialogue a crisis; none, if it is none."""
    rules, concern = _context(), concerned(counsellor)
    asked = bool(rules["asks_death"].search("\n".join(counsellor)))
    weak, story = [], False
    for turn in map(_spelled_out, visitor):
        told = False  # a story goes on for a sentence
        for sentence in SENTENCE.findall(turn):
            told, before = bool(rules["story"].search(sentence)), told
            story |= told
            plain = rules["idiom"].sub(lambda m: "□" * len(m[0]), sentence)
            if not concern and (told or before or _of_others(sentence)) or rules["denial"].search(sentence):
                continue
            for name in _strong(plain):
                return [name]
            if concern:
                weak += dict.fromkeys(name for name, _ in _signs("weak").matches(plain))
    if asked and not story:
        weak.append("asked")
    return weak


def excused(code: str, turn: str) -> bool:
    """True if a sentence says that it is not meant so: an idiom, a story, a denial, left to a doctor, not sure."""
    sentences = SENTENCE.findall(turn)
    if code == "crisis":
        rules = _context()
        shields = [rules[name] for name in ("idiom", "story", "denial")]
        return any(any(p.search(s) for p in shields) or _taken_back(s) for s in sentences)
    part = _part(code, {"medication": "left", "diagnosis": "unsure"}[code])
    return any(map(part.search, sentences))


def _taken_back(sentence: str) -> bool:
    """True if all strong signs of a sentence are negated or compared."""
    found = [hit for _, sign in _signs("strong").matches(sentence) for hit in sign.finditer(sentence)]
    return bool(found) and not any(_counts(sentence, hit) for hit in found)


def _of_others(sentence: str) -> bool:
    """True if a subject of work or talk is named and nobody speaks of himself."""
    return bool(_context()["subject"].search(sentence)) and not re.search("我(?!们)|俺", sentence)


def _strong(sentence: str) -> Iterator[str]:
    """Names of the strong signs in a sentence without its idioms."""
    for name, sign in _signs("strong").matches(sentence):
        if any(_counts(sentence, found) for found in sign.finditer(sentence)) and not _old(name, sentence):
            yield name
    for name, _ in _joined("crisis", "strong").matches(sentence):
        if not _old(name, sentence):
            yield name


def _old(name: str, sentence: str) -> bool:
    return name == "violence" and bool(_context()["long_ago"].search(sentence))


def _counts(sentence: str, found: re.Match) -> bool:
    rules, before = _context(), sentence[: found.start()]
    if found[0][0] not in "不没别无" and rules["negation"].search(before):
        return False
    if rules["simile"].search(before):
        return False
    return not (
        "我" not in before.replace("我们", "")
        and rules["others_past"].search(before)
        and rules["others_past.needs"].search(sentence)
    )


def _phrases(topic: str, part: str) -> list[str]:
    found = words()[topic][part]
    groups = [rule["phrases"] for rule in found.values()] if isinstance(found, dict) else [found]
    return [phrase for phrases in groups for phrase in phrases]


@cache
def _part(topic: str, part: str) -> Sieve:
    """The phrases of a part of a topic."""
    return Sieve([(part, [_expanded(phrase, topic)], []) for phrase in _phrases(topic, part)])


def medication(replies: list[str]) -> bool:
    """True if a reply advises a medicine or a change of dose and does not leave it to a doctor."""
    return any(_prescribes(sentence) for reply in replies for sentence in SENTENCE.findall(reply))


def _prescribes(sentence: str) -> bool:
    part = lambda name: _part("medication", name).search(sentence)  # noqa: E731
    if (
        not (part("advice") or _joined("medication", "advice").search(sentence))
        or part("left")
        and not part("no_doctor")
    ):
        return False
    return not sentence.rstrip().endswith(("？", "?", "吗")) or part("directive")


def diagnosis(replies: list[str]) -> bool:
    """True if a reply states an illness as a fact about someone in the dialogue."""
    return any(_diagnoses(sentence) for reply in replies for sentence in SENTENCE.findall(reply))


def _diagnoses(sentence: str) -> bool:
    if not (_part("diagnosis", "states").search(sentence) or _joined("diagnosis", "states").search(sentence)):
        return False
    plain = pattern(tuple(_phrases("diagnosis", "sure")), "diagnosis").sub("", sentence)
    return not _part("diagnosis", "unsure").search(plain)
