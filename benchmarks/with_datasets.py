"""The same checks as a plain script: `datasets.map`, with datasketch for near-duplicates. For comparison only.

It uses the rules of `helpers.inspection`, so that what is timed is the way through the file, not the rules.
Needs datasketch, which is not among the project's packages: `pip install datasketch`.
"""

import os
import sys

from datasets import Dataset
from datasketch import MinHash, MinHashLSH

from helpers.inspection import actions, duplicates, row, rules

SCHEME = "legacy"  # datasketch 2 wants to be told
SETTINGS = row.Settings(actions(), 3072, duplicates.Others({}, {}))


def judged(example: dict) -> dict:
    verdict = row.judge(example["text"], "utf-8", SETTINGS)
    plain = rules.letters("".join(m["content"] for m in verdict.messages or []))
    minhash = MinHash(num_perm=duplicates.PERMUTATIONS, scheme=SCHEME)
    minhash.update_batch([plain[i : i + 3].encode("utf-8", "replace") for i in range(max(1, len(plain) - 2))])
    return {
        "reasons": verdict.reasons,
        "repairs": [r["code"] for r in verdict.repairs],
        "flags": verdict.flags,
        "messages": [{"role": m["role"], "content": m["content"]} for m in verdict.messages or []],
        "hashes": minhash.hashvalues.tolist(),
    }


def main(source: str, out: str) -> None:
    with open(source, encoding="utf-8", newline="\n") as lines:
        texts = [line.removesuffix("\n") for line in lines]
    data = Dataset.from_dict({"text": texts}).map(judged, num_proc=os.cpu_count())
    index = MinHashLSH(threshold=duplicates.SIMILAR, num_perm=duplicates.PERMUTATIONS)
    keep = []
    for number, example in enumerate(data):
        if example["reasons"]:
            continue
        minhash = MinHash(num_perm=duplicates.PERMUTATIONS, hashvalues=example["hashes"], scheme=SCHEME)
        if not index.query(minhash):
            index.insert(number, minhash)
            keep.append(number)
    data.select(keep).remove_columns(["hashes", "text"]).to_json(f"{out}.jsonl", force_ascii=False)


if __name__ == "__main__":
    main(*sys.argv[1:3])
