"""Topics x feelings: how many training dialogues speak of what, so that a gap can be seen and filled.

A dialogue's topic is the one that its row names. Its feelings are those that the visitor puts into words, any number of
them. Words, not meaning: "I looked at the wall for an hour" has no feeling here. Introduced in notebook 08.
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

FEELINGS = {
    "sadness": r"难过|伤心|心酸|想哭|哭(?:了|着|出)|眼泪|掉泪|心碎|悲",
    "anxiety": r"焦虑|担心|紧张|害怕|怕|慌|不安|心跳|发抖",
    "anger": r"生气|气(?:死|得|人|不过)|火(?:大|冒|气)|恨|烦|凭什么|憋屈|受不了",
    "guilt": r"内疚|愧疚|对不起|亏欠|自责|都怪我|怪我|欠(?:他|她|你|我妈|我爸)",
    "shame": r"丢人|丢脸|没脸|羞|可笑|没出息|不敢(?:见|说|告诉)|抬不起头|没用",
    "loneliness": r"孤单|孤独|一个人|没人(?:说|问|理|懂|陪)|没有人|空(?:荡|落)",
    "exhaustion": r"累|撑不住|熬|疲|没力气|透支|扛不",
    "numbness": r"麻木|没(?:有)?感觉|空白|无所谓|不想动|没意思|提不起",
    "longing": r"想(?:他|她|你|念|家)|舍不得|怀念|盼|惦记|要是(?:能|他|她)",
    "relief": r"松(?:了)?(?:一)?口气|踏实|放下|轻松|好多了|开心|高兴|笑了",
}
NOT_GIVEN = "not given"


def feelings(visitor: str) -> list[str]:
    """The feelings that a visitor's words name."""
    return [name for name, words in FEELINGS.items() if re.search(words, visitor)]


def spoken(row: dict) -> str:
    """What the visitor says in a row of `messages`, a line a turn."""
    return "\n".join(m["content"] for m in row["messages"] if m["role"] == "user")


def count(rows: Sequence[dict]) -> pd.DataFrame:
    """Dialogues by topic (rows of the table) and feeling (columns); the pieces of one dialogue count once.

    Args:
        rows: ms-swift's `messages`, with `topic` and `id` when known; without topics the table has one row.
    """
    found: dict[str, set[tuple[str, str]]] = {}
    topics: dict[str, None] = {}
    for number, row in enumerate(rows):
        topic = row.get("topic") or NOT_GIVEN
        cells = {(topic, feeling) for feeling in feelings(spoken(row))}
        found.setdefault(row.get("id") or f"line {number}", set()).update(cells)
        topics.setdefault(topic)
    table = pd.DataFrame(0, index=sorted(topics), columns=list(FEELINGS))
    for cells in found.values():
        for where, feeling in cells:
            table.loc[where, feeling] += 1
    return table


def missing(table: pd.DataFrame, least: int = 1) -> list[tuple[str, str]]:
    """Cells with fewer than `least` dialogues, the emptiest first, then in the order of the table."""
    cells = [(int(table.loc[t, f]), t, f) for t in table.index if t != NOT_GIVEN for f in table.columns]
    return [(t, f) for n, t, f in sorted(cells, key=lambda c: c[0]) if n < least]


def draw(table: pd.DataFrame):
    """Draw the table with its numbers and return the Axes; an empty cell has a frame."""
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(7.5, 5.5))
    ax.grid(False)
    ax.imshow(np.sqrt(table.to_numpy()), cmap="Blues", aspect="auto")
    for (y, x), n in np.ndenumerate(table.to_numpy()):
        dark = n > table.to_numpy().max() / 3
        ax.text(x, y, n, ha="center", va="center", fontsize=8, color="white" if dark else "black")
        if not n:
            ax.add_patch(plt.Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor="#D55E00", linewidth=1.2))
    ax.set_xticks(range(len(table.columns)), table.columns, rotation=35, ha="right")
    ax.set_yticks(range(len(table.index)), table.index)
    ax.set_xlabel("feeling that the visitor names")
    return ax
