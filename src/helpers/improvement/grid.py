"""Topics x feelings: how many training dialogues speak of what, so that a gap can be seen and filled.

A dialogue's topic is the one its row names; without one, the topic whose words its visitor uses most. Its feelings are
those that the visitor puts into words, any number of them. Words, not meaning: "I looked at the wall for an hour" has no
feeling here. Introduced in notebook 08.
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
TOPICS = {
    "study": "考|学习|成绩|老师|作业|论文|考研|高考|同学|专业",
    "work": "领导|同事|加班|公司|上班|工作|辞职|客户|工位|绩效",
    "family": "我妈|我爸|爸妈|父母|姐|弟|哥|妹|亲戚|家里",
    "love": "分手|男朋友|女朋友|对象|前任|暧昧|表白|异地|结婚|老公|老婆",
    "grief": "去世|走了|葬|墓|遗物|不在了|丧|忌日|骨灰",
    "sleep": "失眠|睡不着|睡|醒|梦|凌晨|熬夜",
    "loneliness": "一个人|没人|孤单|孤独|独居",
    "illness": "医院|医生|确诊|化疗|手术|病|住院|复查|疼",
    "money": "钱|债|房贷|工资|借|还款|催收|欠|网贷",
    "identity": "我是谁|性别|出柜|同性|身份|户口|口音|喜欢(?:男|女)生",
    "parenting": "孩子|儿子|女儿|宝宝|娃|家长|幼儿园|辅导",
    "ageing": "退休|老伴|老了|养老|老年|孙子|广场舞|腿脚",
    "trauma": "阴影|车祸|噩梦|霸凌|那年|闪回|地震|被打|侵犯",
    "habits": "戒|烟|酒|刷手机|短视频|游戏|暴食|赌|瘾",
    "friendship": "朋友|闺蜜|室友|发小|绝交|群里|兄弟",
}


def feelings(visitor: str) -> list[str]:
    """The feelings that a visitor's words name."""
    return [name for name, words in FEELINGS.items() if re.search(words, visitor)]


def topic(row: dict) -> str:
    """The row's own topic, else the one with most words in the visitor's turns, else "other"."""
    if row.get("topic"):
        return row["topic"]
    text = spoken(row)
    counts = {name: len(re.findall(words, text)) for name, words in TOPICS.items()}
    best = max(counts, key=counts.get)
    return best if counts[best] else "other"


def spoken(row: dict) -> str:
    """What the visitor says in a row of `messages`, a line a turn."""
    return "\n".join(m["content"] for m in row["messages"] if m["role"] == "user")


def count(rows: Sequence[dict]) -> pd.DataFrame:
    """Dialogues by topic (rows of the table) and feeling (columns); the pieces of one dialogue count once.

    Args:
        rows: ms-swift's `messages`, with `topic` and `id` when known.
    """
    found: dict[str, set[tuple[str, str]]] = {}
    for number, row in enumerate(rows):
        cells = {(topic(row), feeling) for feeling in feelings(spoken(row))}
        found.setdefault(row.get("id") or f"line {number}", set()).update(cells)
    # a topic of the list is in the table even where nobody speaks of it: that is the gap
    names = list(dict.fromkeys([*TOPICS, *sorted({t for cells in found.values() for t, _ in cells})]))
    table = pd.DataFrame(0, index=names, columns=list(FEELINGS))
    for cells in found.values():
        for where, feeling in cells:
            table.loc[where, feeling] += 1
    return table


def missing(table: pd.DataFrame, least: int = 1) -> list[tuple[str, str]]:
    """Cells with fewer than `least` dialogues, the emptiest first, then in the order of the table."""
    cells = [(int(table.loc[t, f]), t, f) for t in table.index if t != "other" for f in table.columns]
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
