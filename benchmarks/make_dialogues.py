"""Write many dialogues, varied from the shipped ones: `python benchmarks/make_dialogues.py 200000 big.jsonl`.

Of 100 rows about 85 are new combinations of exchanges, 4 repeat an earlier row with a few words changed, 2 repeat one
exactly, and 9 carry a defect: a telephone number, broken encoding, a missing reply, a line that is no JSON.
The same number of rows gives the same file.
"""

import json
import random
import sys
from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / "data"
RECENT = 2000  # earlier rows that a copy is taken from


def exchanges() -> list[tuple[str, str]]:
    """All questions of the shipped dialogues with their replies."""
    rows = [json.loads(x) for x in (DATA / "train.jsonl").read_text(encoding="utf-8").split("\n") if x]
    return [
        (a["value"], b["value"])
        for r in rows
        for a, b in zip(r["conversations"][::2], r["conversations"][1::2], strict=True)
    ]


def dialogue(dice: random.Random, pool: list[tuple[str, str]]) -> list[str]:
    """Two to four exchanges of different dialogues, their sentences in another order."""
    turns = []
    for question, reply in dice.sample(pool, dice.randint(2, 4)):
        for text in (question, reply):
            parts = [p + "。" for p in text.split("。") if p]
            dice.shuffle(parts)
            turns.append("".join(parts).replace("？。", "？"))
    return turns


def line(turns: list[str], number: int) -> str:
    speakers = ("human", "gpt")
    row = {"id": number, "conversations": [{"from": speakers[i % 2], "value": t} for i, t in enumerate(turns)]}
    return json.dumps(row, ensure_ascii=False)


def spoiled(dice: random.Random, turns: list[str], number: int) -> str:
    kind = dice.randrange(5)
    if kind == 0:
        turns = [turns[0] + f"我的电话是139{dice.randrange(10**8):08}。", *turns[1:]]
    elif kind == 1:
        turns = [turns[0].encode().decode("latin-1"), *turns[1:]]
    elif kind == 2:
        turns = turns[:-1]
    elif kind == 3:
        return line(turns, number)[:-3]
    else:
        turns = [t + " \u200b" for t in turns]
    return line(turns, number)


def write(count: int, path: Path) -> None:
    """Write `count` rows, one at a time."""
    dice, pool, earlier = random.Random(count), exchanges(), []
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            chance = dice.random()
            if earlier and chance < 0.06:
                turns = list(dice.choice(earlier))
                if chance >= 0.02:
                    turns[0] = "嗯，" + turns[0].replace("我", "俺", 1)
                text = line(turns, number)
            else:
                turns = dialogue(dice, pool)
                text = spoiled(dice, turns, number) if chance > 0.91 else line(turns, number)
                if chance <= 0.91:
                    earlier = [*earlier[-RECENT:], turns] if len(earlier) > 2 * RECENT else earlier
                    earlier.append(turns)
            file.write(text + "\n")


if __name__ == "__main__":
    write(int(sys.argv[1]), Path(sys.argv[2]))
