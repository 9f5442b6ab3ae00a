"""The stream of a model with many layers, from those with two and three: what a third layer adds is repeated.

Pure Python, no torch. An event is (+id, bytes, operator) for a new tensor and (-id, bytes, operator) for its release.
"""

from collections import Counter

Part = list[tuple[tuple, Counter]]  # a new tensor, and what is released before the next one; releases have no order


def continued(short: list[list[tuple]], long: list[list[tuple]], layers: int) -> list[tuple] | None:
    """Events of a model with `layers` layers.

    Args:
        short, long: events by phase with two and with three layers.

    Returns:
        None if `long` is not `short` with pieces put in.
    """
    whole: Part = []
    for a, b in zip(_grouped(short), _grouped(long), strict=True):
        part = _part(a, b, layers)
        if part is None:
            return None
        whole += part
    return _numbered(whole)


def _grouped(phases: list[list[tuple]]) -> list[Part]:
    """A release is named by bytes, operator and how many younger equal tensors live: that holds in every layer."""
    alive: dict[tuple, list[int]] = {}
    parts = []
    for events in phases:
        part, run = [(None, Counter())], []
        for number, *key in [*events, (0,)]:
            if number < 0:
                run.append((-number, tuple(key)))
                continue
            for old, of in run:
                part[-1][1][*of, len(alive[of]) - 1 - alive[of].index(old)] += 1
            for old, of in run:
                alive[of].remove(old)
            run = []
            if number:
                part.append((tuple(key), Counter()))
                alive.setdefault(tuple(key), []).append(number)
        parts.append(part)
    return parts


def _part(short: Part, long: Part, layers: int) -> Part | None:
    out: Part = []
    at = 0  # in `long`
    for i, (new, gone) in enumerate(short):
        if at >= len(long) or long[at][0] != new:
            return None
        released = long[at][1]
        at += 1
        step = 0 if gone == released and _run(short, i + 1, long, at) else _insertion(short, i + 1, long, at)
        if not step:
            out.append((new, _line(gone, released, layers)))
            continue
        piece, last = long[at : at + step], long[at + step - 1]
        at += step
        again = [*piece[:-1], (last[0], released)]  # before one more layer come the releases that come before a layer
        out += [(new, released), *again * (layers - 3), *piece[:-1], (last[0], _line(gone, last[1], layers))]
    return out if at == len(long) else None


def _insertion(short: Part, i: int, long: Part, at: int) -> int:
    """How many new tensors `long` has at `at` before it goes on as `short` does at `i`."""
    if i == len(short):
        return len(long) - at
    return max(range(len(long) - at), key=lambda d: (_run(short, i, long, at + d), -d), default=0)


def _run(short: Part, i: int, long: Part, at: int) -> int:
    length = 0
    while i + length < len(short) and at + length < len(long) and short[i + length][0] == long[at + length][0]:
        length += 1
    return length


def _line(two: Counter, three: Counter, layers: int) -> Counter:
    """Releases that grow with the number of layers, continued."""
    return Counter({k: max(0, three[k] + (layers - 3) * (three[k] - two[k])) for k in two.keys() | three.keys()})


def _numbered(part: Part) -> list[tuple]:
    events, alive, last = [], {}, 0
    for new, gone in part:
        if new:
            last += 1
            alive.setdefault(new, []).append(last)
            events.append((last, *new))
        taken: dict[tuple, list[int]] = {}
        for size, operator, younger in sorted(gone):
            ages = taken.setdefault((size, operator), [])
            for _ in range(gone[size, operator, younger]):
                ages.append(max(younger, ages[-1] + 1 if ages else 0))
        for key, ages in taken.items():
            living = alive.get(key, [])
            for age in reversed([a for a in ages if a < len(living)]):
                events.append((-living.pop(len(living) - 1 - age), *key))
    return events
