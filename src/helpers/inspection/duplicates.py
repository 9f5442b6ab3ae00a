"""Dialogues that say the same: MinHash over character trigrams, banded, and exact overlap with other files."""

from collections import defaultdict

import numpy as np

GRAM = 3  # characters
PERMUTATIONS, ROWS_IN_BAND = 128, 4
SIMILAR = 0.52  # Jaccard similarity; copies lie above 0.7, or 0.55 if an exchange is cut; others on one theme below 0.3
CONTAINED = 0.85  # share of one text's trigrams that lie in the other
IN_GROUP = 64  # representatives kept for each band value, so that time stays linear in rows

_DICE = np.random.default_rng(20)
_A = _DICE.integers(1, 2**63, PERMUTATIONS, dtype=np.uint64)[:, None] | np.uint64(1)
_B = _DICE.integers(0, 2**63, PERMUTATIONS, dtype=np.uint64)[:, None]
_MIX = _DICE.integers(1, 2**63, ROWS_IN_BAND, dtype=np.uint64) | np.uint64(1)


def grams(text: str) -> np.ndarray:
    """Hashes of the distinct trigrams of a text, sorted; the text comes without punctuation (`rules.letters`)."""
    codes = np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32).astype(np.uint64)
    if len(codes) < GRAM:
        codes = np.pad(codes, (0, GRAM - len(codes)))
    mixed = codes[:-2] * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29)) ^ codes[1:-1]) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(32)) ^ codes[2:]) * np.uint64(0x94D049BB133111EB)
    return np.unique(mixed ^ (mixed >> np.uint64(31)))


def signature(hashes: np.ndarray) -> np.ndarray:
    """MinHash signature: `PERMUTATIONS` numbers of 32 bits; the share that two have in common estimates Jaccard."""
    least = np.full(PERMUTATIONS, 2**32 - 1, dtype=np.uint64)
    for start in range(0, len(hashes), 4096):
        rotated = (_A * hashes[start : start + 4096] + _B) >> np.uint64(32)
        np.minimum(least, rotated.min(axis=1), out=least)
    return least.astype(np.uint32)


def find(signatures: np.ndarray, exact: np.ndarray) -> dict[int, tuple[str, int]]:
    """Rows that repeat an earlier one: `{row: (code, the row that is kept)}`.

    Args:
        signatures: one row for each dialogue, (rows, PERMUTATIONS) uint32; may be a memory map.
        exact: a hash of the whole dialogue, (rows,) uint64.
    """
    count = len(exact)
    members = _shared_bands(signatures, count)
    again, first = {}, {}
    values, repeats = np.unique(exact, return_counts=True)
    repeated = set(values[repeats > 1].tolist())
    interesting = np.zeros(count, dtype=bool)
    interesting[members[0]] = True
    if repeated:
        interesting |= np.isin(exact, np.fromiter(repeated, np.uint64, len(repeated)))
    starts = np.searchsorted(members[0], np.arange(count + 1)) if len(members[0]) else np.zeros(count + 1, int)
    groups: dict[int, list[int]] = defaultdict(list)
    for row in np.flatnonzero(interesting).tolist():
        key = int(exact[row])
        if key in first:
            kept = first[key]
            again[row] = ("duplicate", again[kept][1] if kept in again else kept)
            continue
        if key in repeated:
            first[key] = row
        mine = members[1][starts[row] : starts[row + 1]].tolist()
        candidates = sorted({other for group in mine for other in groups[group]})
        if candidates:
            close = (signatures[candidates] == signatures[row]).mean(axis=1)
            best = int(close.argmax())
            if close[best] >= SIMILAR:
                again[row] = ("near_duplicate", candidates[best])
                continue
        for group in mine:
            if len(groups[group]) < IN_GROUP:
                groups[group].append(row)
    return again


def _bands() -> list[list[int]]:
    """The columns of a signature that make up each band: each column lies in two, so that more pairs meet.

    A pair with similarity 0.5 meets in one of the 64 with probability 0.98, one with 0.2 with probability 0.1.
    """
    every, count = list(range(PERMUTATIONS)), PERMUTATIONS // ROWS_IN_BAND
    return [every[i * ROWS_IN_BAND :][:ROWS_IN_BAND] for i in range(count)] + [every[i::count] for i in range(count)]


def _shared_bands(signatures: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(row, group) pairs, sorted by row, for each band value that at least two rows share."""
    rows, groups, named = [], [], 0
    for columns in _bands():
        band = np.zeros(count, dtype=np.uint64)
        for place, column in enumerate(columns):
            band = (band ^ signatures[:, column].astype(np.uint64)) * _MIX[place]
            band ^= band >> np.uint64(32)
        order = np.argsort(band, kind="stable")
        ordered = band[order]
        new = np.r_[True, ordered[1:] != ordered[:-1]] if count else np.zeros(0, bool)
        group = np.cumsum(new) - 1
        shared = np.bincount(group, minlength=1)[group] > 1
        rows.append(order[shared].astype(np.int32))
        groups.append((group[shared] + named).astype(np.int64))
        named += int(group[-1]) + 1 if count else 0
    row, group = np.concatenate(rows), np.concatenate(groups)
    order = np.argsort(row, kind="stable")
    return row[order], group[order]


class Others:
    """Texts that must not be in the training data, and which of them a dialogue repeats.

    Args:
        dialogues: `{name: text}` of whole dialogues (validation): similar ones count, and a part of one too.
        prompts: `{name: text}` of questions (quiz, safety): a dialogue that contains one counts.
    """

    def __init__(self, dialogues: dict[str, str], prompts: dict[str, str]):
        texts = [*dialogues.items(), *prompts.items()]
        self.names, self.whole = [n for n, _ in texts], len(dialogues)
        sets = [grams(t) for _, t in texts]
        self.sizes = np.array([len(s) for s in sets])
        hashes = np.concatenate(sets) if sets else np.zeros(0, np.uint64)
        owner = np.repeat(np.arange(len(sets)), self.sizes) if sets else np.zeros(0, int)
        order = np.argsort(hashes, kind="stable")
        self.hashes, self.owner = hashes[order], owner[order]

    def repeated_by(self, hashes: np.ndarray) -> str | None:
        """The name of the text that a dialogue with these trigrams repeats, or None."""
        if not len(self.hashes):
            return None
        left, right = np.searchsorted(self.hashes, hashes), np.searchsorted(self.hashes, hashes, side="right")
        found = right > left
        if found.sum() < 5:
            return None
        owners = np.concatenate([self.owner[a:b] for a, b in zip(left[found], right[found], strict=True)])
        common = np.bincount(owners, minlength=len(self.sizes))
        size = len(hashes)
        contained = (common >= CONTAINED * self.sizes) & (self.sizes >= 8)
        whole = np.arange(len(self.sizes)) < self.whole
        alike = whole & (common >= SIMILAR * (self.sizes + size - common))
        part = whole & (common >= CONTAINED * size) & (size >= 16)
        hits = np.flatnonzero(contained | alike | part)
        return self.names[hits[common[hits].argmax()]] if len(hits) else None
