"""Many patterns at once: only those are tried that a sentence holds a letter of."""

import re
from collections import defaultdict
from collections.abc import Iterator
from re import _constants, _parser  # since Python 3.11; the standard library has no public parser of patterns

COMMON = frozenset(
    "的我了不是一他她你在有这就会要想人都说到没来去上个过好自己也得能和么什着还那很为大给让把被下后天里开出看做，。"
)
_WIDE = 200  # letters of a class; a wider one excludes nothing


def letters(pattern: str) -> frozenset[str] | None:
    """Letters of which every match holds at least one, as rare ones as there are; None if there is no such set."""
    return _of_sequence(_parser.parse(pattern))


def _of_sequence(items) -> frozenset[str] | None:
    found = [some for item in items if (some := _of_item(*item)) is not None]
    return min(found, key=lambda some: sum(40 if c in COMMON else 1 for c in some), default=None)


def _of_item(kind, value) -> frozenset[str] | None:
    if kind is _constants.LITERAL:
        return frozenset(chr(value))
    if kind is _constants.IN:
        return _of_class(value)
    if kind is _constants.SUBPATTERN:
        return _of_sequence(value[-1])
    if kind is _constants.MAX_REPEAT and value[0]:
        return _of_sequence(value[2])
    if kind is _constants.BRANCH:
        each = [_of_sequence(items) for items in value[1]]
        return None if None in each else frozenset().union(*each)
    return None


def _of_class(items) -> frozenset[str] | None:
    every = set()
    for kind, value in items:
        if kind is _constants.LITERAL:
            every.add(chr(value))
        elif kind is _constants.RANGE and value[1] - value[0] < _WIDE:
            every.update(map(chr, range(value[0], value[1] + 1)))
        else:
            return None
    return frozenset(every)


class Sieve:
    """Things that each need one match or several, found by the letters that these must hold.

    Args:
        things: `(name, all of these, none of these)`, the last two as sources of patterns.
    """

    def __init__(self, things: list[tuple[str, list[str], list[str]]]):
        self.rules, self.always, self.by_letter = [], [], defaultdict(list)
        for place, (name, wanted, unwanted) in enumerate(things):
            needs = {source: letters(source) for source in wanted}
            first = sorted(wanted, key=lambda source: len(needs[source] or COMMON | {""}))
            self.rules.append((name, [re.compile(s) for s in first], [re.compile(s) for s in unwanted]))
            if needs[first[0]] is None:
                self.always.append(place)
            for letter in needs[first[0]] or ():
                self.by_letter[letter].append(place)

    def matches(self, sentence: str) -> Iterator[tuple[str, re.Pattern]]:
        """Yield `(name, its rarest pattern)` for each thing that the sentence holds."""
        places = set(self.always)
        for letter in self.by_letter.keys() & set(sentence):
            places.update(self.by_letter[letter])
        for place in sorted(places):
            name, wanted, unwanted = self.rules[place]
            if all(p.search(sentence) for p in wanted) and not any(p.search(sentence) for p in unwanted):
                yield name, wanted[0]

    def search(self, sentence: str) -> bool:
        """True if the sentence holds one of the things."""
        return next(self.matches(sentence), None) is not None
