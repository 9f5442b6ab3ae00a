"""Learn the weights of `wordings` from the labelled turns: `python -m helpers.inspection.learning` (a minute).

The turns of one author resemble each other. So each author is scored by a model that has not read him, and only such
scores decide how the parts of the evidence are weighed. `data/wordings/check.jsonl` is never learnt from.
"""

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix, diags
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from . import lexicon, topics
from .examples import CALM, DIRTY, LEARN, OURS, SIDES, among, labelled, ordinary
from .wordings import WEIGHTS, pieces, sentences

# An ordinary turn is far more frequent in a real file than here, so it weighs more, but not against a cry for help.
ORDINARY = {"crisis": 1, "medication": 4, "diagnosis": 4}
AMONG = 0.2  # what a short turn set among ordinary sentences weighs: made by script, it is worth less than a real one
RARE = 3  # a piece must stand in so many texts
C = 3.0  # inverse of the penalty on large weights
ROUNDS = 2  # in which the sentence that carries a long turn is chosen again
LEAST, DIGITS = 0.4, 1  # a smaller weight decides nothing, nor does a further digit


class Table(NamedTuple):
    """Which pieces stand in which text.

    `holds` has a row a text and a column a piece, 1 where the piece stands in the text. `row` finds a text's row.
    """

    pieces: list[str]
    holds: csr_matrix
    row: dict[str, int]


class Learnt(NamedTuple):
    """A weight for each piece of a table, 0 for those that decide nothing, and a bias."""

    weights: np.ndarray
    bias: float


def table(texts: Iterable[str]) -> Table:
    """The table of these texts, each once."""
    found = {text: sorted(pieces(text)) for text in dict.fromkeys(texts)}
    known = {piece: column for column, piece in enumerate(sorted({p for held in found.values() for p in held}))}
    columns = [known[piece] for held in found.values() for piece in held]
    starts = np.cumsum([0, *map(len, found.values())])
    holds = csr_matrix((np.ones(len(columns)), columns, starts), shape=(len(found), len(known)))
    return Table(list(known), holds, {text: row for row, text in enumerate(found)})


def of_turns(rows: list[dict]) -> Table:
    """The table of these turns and of their sentences."""
    return table(text for r in rows for text in (r["text"], *sentences(r["text"])))


def fit(known: Table, texts: list[str], labels: list[bool], weights: list[float]) -> Learnt:
    """Weights of pieces and a bias, by logistic regression on rarity over the root of the number of pieces."""
    held = known.holds[[known.row[text] for text in texts]]
    counts = np.asarray(held.sum(axis=0)).ravel()
    common = np.flatnonzero(counts >= RARE)
    rarity = 1 + np.log((1 + len(texts)) / (1 + counts[common]))
    roots = np.sqrt(np.asarray(held.sum(axis=1)).ravel())
    features = diags(1 / roots) @ held[:, common] @ diags(rarity)
    model = LogisticRegression(C=C, max_iter=3000).fit(features, labels, sample_weight=weights)
    learnt, found = np.zeros(len(known.pieces)), model.coef_[0] * rarity
    learnt[common] = np.where(np.abs(found) >= LEAST, found.round(DIGITS), 0)
    return Learnt(learnt, round(float(model.intercept_[0]), 3))


def log_odds(known: Table, learnt: Learnt) -> np.ndarray:
    """What each text of the table says, as `wordings.evidence` would find."""
    return learnt.bias + (known.holds @ learnt.weights) / np.sqrt(np.asarray(known.holds.sum(axis=1)).ravel())


def learn(known: Table, rows: list[dict]) -> Learnt:
    """Learn from whole turns and from sentences. Which sentence carries a long turn is found by the model itself."""
    texts, labels = [r["text"] for r in rows], [r["is_one"] for r in rows]
    weights = [1.0] * len(texts)
    long = [(sentences(r["text"]), r["is_one"]) for r in rows if len(sentences(r["text"])) > 1]
    harmless = [s for parts, is_one in long if not is_one for s in parts]
    carried = [parts for parts, is_one in long if is_one]
    learnt = fit(known, texts, labels, weights)
    for _ in range(ROUNDS):
        odds = log_odds(known, learnt)
        chosen = [max(parts, key=lambda s: odds[known.row[s]]) for parts in carried]
        learnt = fit(
            known,
            texts + harmless + chosen,
            labels + [False] * len(harmless) + [True] * len(chosen),
            weights + [0.5] * len(harmless) + [1.0] * len(chosen),
        )
    return learnt


def unread(known: Table, rows: list[dict], more: list[dict], code: str) -> tuple[list[dict], np.ndarray]:
    """The turns of other authors than us, and the evidence in each, by a model that has read none of its author's.

    `more` are turns that no model reads.
    """
    read_out, found = [], []
    for author in sorted({r["by"] for r in rows} - {OURS}):
        odds = log_odds(known, learn(known, [r for r in rows if r["by"] != author]))
        own = [r for r in rows + more if r["by"] == author]
        read_out += own
        for text in (r["text"] for r in own):
            loudest = max(sentences(text), key=lambda s: odds[known.row[s]])
            says = topics.in_lexicon(code, text), topics.excused(code, text, loudest)
            found.append([odds[known.row[loudest]], odds[known.row[text]], *map(float, says)])
    return read_out, np.array(found)


def learnt_from() -> str:
    """A hash of all that is learnt from, and of the lexicon, whose word is weighed."""
    read_files = (LEARN, *CALM, DIRTY, lexicon.FILE)
    return hashlib.sha256(b"".join(path.read_bytes() for path in read_files)).hexdigest()


def stored(known: Table, learnt: Learnt) -> dict:
    """What `wordings` reads: the pieces that decide something, and the bias."""
    each = zip(known.pieces, learnt.weights.tolist(), strict=True)
    return {"pieces": {piece: weight for piece, weight in each if weight}, "bias": learnt.bias}


def weigh(code: str) -> tuple[dict, dict]:
    """The weights for a code, and how well authors were understood that were not read."""
    rows = labelled(code)
    more = among(rows, ordinary(code))
    known = of_turns(rows + more)
    read_out, found = unread(known, rows, more, code)
    labels, kinds = (np.array([r[key] for r in read_out]) for key in ("is_one", "code"))
    weights = {code: 1, "ordinary": ORDINARY[code], "among": AMONG}
    together = LogisticRegression().fit(found, labels, sample_weight=[weights[kind] for kind in kinds])
    learnt = stored(known, learn(known, rows)) | {
        "together": together.coef_[0].round(3).tolist(),
        "together_bias": round(float(together.intercept_[0]), 3),
    }
    hits, alike = together.predict(found), kinds == code
    return learnt, {
        "turns": int(alike.sum()),
        "recall": round(float(hits[labels & alike].mean()), 3),
        "precision": round(float(labels[hits & alike].mean()), 3),
        "recall_among_others": round(float(hits[labels & (kinds == "among")].mean()), 3),
        "ordinary": int((kinds == "ordinary").sum()),
        "ordinary_flagged": int((hits & (kinds == "ordinary")).sum()),
    }


def main() -> None:
    with ProcessPoolExecutor(initializer=threadpool_limits, initargs=(1,)) as pool:  # more threads wait for each other
        weighed = dict(zip(SIDES, pool.map(weigh, SIDES), strict=True))
    measured = {code: scores for code, (_, scores) in weighed.items()}
    codes = {code: learnt for code, (learnt, _) in weighed.items()}
    made = {"learnt_from": learnt_from(), "authors_unread": measured, "codes": codes}
    WEIGHTS.write_text(json.dumps(made, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    print(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
