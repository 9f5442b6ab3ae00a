"""Whether a reply lectures: it lists advice, counts its points, or preaches."""

import re

LONG = 240  # characters; a longer reply that strings its advice together is a list without numbers
SPEECH = 600  # characters; so long a reply is no talk, whatever it says

_MARK = re.compile("[0-9一二三四五六七八九十甲乙丙Ⅰ-ⅳ①-⒛❶-❿㈠-㈩A-Ea-eI]")
_ITEM = re.compile(
    r"(?m)(?:^|[\n。；;：:，,、！？!?…”’） ])\s{0,9}(?:\d{1,2}[)）.、．](?!\d)|[一二三四五六七八九十]{1,2}[)）、]"
    r"|(?:[Ss]tep|[Tt]ips?|步骤|方法|建议|技巧|要点|策略|做法|练习)\s?[\d一二三四五六七八九]{1,2}\s?[：:.、，]"
    r"|[0-9]\ufe0f?\u20e3)|[①-⑳⑴-⒛❶-❿㈠-㈩]"
    r"|[（(]\s?(?:\d{1,2}|[一二三四五六七八九十])\s?[)）]"
    r"|^[ \t\u3000]{0,9}(?:[-*+·•‣⁃●▪]\s*\S|#{1,6}\s|【"
    r"|[\u2190-\u2bff\U0001f000-\U0001faff][\ufe0f\U0001f3fb-\U0001f3ff]*\s*\w)"
)
# Points in an order of their own: a list has at least its first three.
_SERIES = [
    re.compile(rf"(?m)(?:^|[\n。；;：:，,、！？!?” ])\s{{0,9}}{mark}")
    for mark in (
        r"(?:([A-Ea-e])\s?[.．:：)）](?!\w\.)|([A-E])、(?=[^A-E]{4}))",
        r"(?:([ⅠⅡⅢⅣⅰⅱⅲ]|I{1,3}|IV)\s?[.．、:：)）])",
        r"第?([一二三四五])(?:是|则|来(?!说)|者)(?!一)",
        r"第\s?([1-9])\s?[点步条是，,、：:]",
        r"第([一二三四五六七])[天周步](?:[：:]|，(?!我))",
        r"\*\*([^*\n]{1,12})(?:[：:]\*\*|\*\*\s?[：:])",
        r"([甲乙丙丁])[、：:]",
    )
]
_LINES = re.compile(
    r"(?m)^\s{0,3}(?:\|(?! ?:?-).*\||[^，。：:\n]{1,8}[：:][^\n]{3,})$"
)  # of a table, or each with its label
_ORDINAL = re.compile(
    r"第[一二三四五六七八九十][，、,：:]|其[一二三四五][，、,：:]|第[一二三四五六]点|第[一二三四五六](?:步|条)?[，、,：:]"
)
_STEPS = re.compile(r"首先|其次|再次|再者|此外|另外|然后|接着|接下来|最后|第一|第二|第三|总之|综上")
_LINKS = re.compile(
    r"(?:^|[。！？；\n：])\s{0,9}(首先|其次|再次|再者|然后|此外|另外|同时|还有|接着|接下来|最后|总之|综上|总的来说|除此之外|与此同时|那么)"
)
# 「你应该很难受吧」 guesses and 「你要不要」 asks: neither demands anything.
_DEMAND = re.compile(
    r"(?:^|[，。；！？!?;,\n：、]|所以|因此|但是?|而且|并且|更|就|还|都)"
    r"(?:(?:[你您][们]?|做人|为人|人|我们|大家|家长|父母|孩子|男人|女人|年轻人|每个人)(?:一定|首先|也|就|都|更|还)?)?"
    r"(?:要(?!是|不然|不要|么|求|说|知道|记住)|不要|应该(?!很|挺|是|有|会|也|已经|等|没)|必须|应当|不应该?|不该|理应|务必"
    r"|得(?!到|了|知)|不能|不可以|不许|切记|千万|少(?=说|想|抱怨|玩)|怎么(?:能|可以|敢)|凭什么|难道|有什么资格|对得起)"
    r"|只有[^，。]{1,12}才|这样才(?:对得起|像)|[才就这]是[^，。]{0,8}的(?:责任|义务|本分)"
)
_MODAL = re.compile("[要该须应当务得能可许记万怎凭难资才少责分]")  # every demand holds one of them
_DEMANDS = 4  # in one reply: who listens does not demand so much
# What sermons are made of; with a demand or two, one is preached.
_SAYING = re.compile(
    "没有过不去的[坎坡]|古人[云说]|老话说|态度决定|端正态度|有用的人|太?娇气|人活着就|做人要|做人得|懂得感恩|把你(?:拉扯|养)大|不忘本"
    "|抱怨(?:没有|解决不了|有什么)|怕吃苦|自怨自艾|吃得苦中苦|家和万事兴|天将降大任|失败(?:是成功之母|者找)|成功者找|一分耕耘|有志者|世上无难事|不经历风雨"
    "|百善孝为先|天下无不是的父母|知足(?:常乐|者)|退一步海阔天空|少壮不努力|宝剑锋从|梅花香自|书山有路|苦尽甘来|身在福中"
    "|身为[^，。]{1,6}[，,]|作为[^，。]{0,4}(?:妻子|丈夫|父母|母亲|父亲|子女|儿女|学生|老师|男人|女人|晚辈|长辈)[，,]"
    "|该有的样子|将来怎么|怎么在社会上|怨天尤人|找借口|自暴自弃|人生观|价值观|好好反省|对得起"
)
_SAYINGS = 2
_MUST = re.compile(
    r"你(?:们)?(?:应该|必须|应当|要学会|需要学会|不应该|不要|一定要|得学会|务必|不能|要|该|需要)|您(?:应该|必须|应当|不应该|一定要|务必)"
)
_ROBOT = re.compile(
    r"作为(?:一[个名位款])?[^，。]{0,6}(?:人工智能|AI|ai|语言模型|聊天机器人|智能助手|大模型)|我(?:只)?是(?:一[个名款])?(?:人工智能|AI|语言模型)"
)


def lecture(reply: str) -> bool:
    """True if a reply lists advice, counts its points, preaches, speaks as a machine or for longer than `SPEECH`."""
    return (
        len(reply) > SPEECH
        or bool(_ROBOT.search(reply))
        or listed(reply)
        or reply.count("你") + reply.count("您") >= 4
        and len(_MUST.findall(reply)) >= 4
        or len(_MODAL.findall(reply)) >= _DEMANDS
        and len(_DEMAND.findall(reply)) >= _DEMANDS
        or (sayings := len(_SAYING.findall(reply))) > _SAYINGS
        or sayings == _SAYINGS
        and bool(_DEMAND.search(reply))
        or sayings > 0
        and len(_DEMAND.findall(reply)) >= _DEMANDS - 1
    )


def listed(reply: str) -> bool:
    """True if points follow each other by numbers, marks or words of order."""
    if (
        reply.count("\n") >= 2 or "**" in reply or len(_MARK.findall(reply)) >= 3
    ):  # most replies hold no mark of a list at all
        if len(_ITEM.findall(reply)) >= 3 or any(_counts(series, reply) for series in _SERIES):
            return True
        if len(_LINES.findall(reply)) >= 3:
            return True
    if len(_ORDINAL.findall(reply)) >= 3 or len(reply) > LONG and len(set(_LINKS.findall(reply))) >= 3:
        return True
    if "首先" not in reply:
        return False
    ends = ("其次" in reply or "再次" in reply) and ("最后" in reply or "总之" in reply)
    return ends or len(set(_STEPS.findall(reply))) >= 4


def _counts(series: re.Pattern, reply: str) -> bool:
    marks = {"".join(m) if isinstance(m, tuple) else m for m in series.findall(reply)}
    return len(marks) >= 3
