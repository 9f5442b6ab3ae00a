"""Rules on one dialogue, after its repairs: what has to be quarantined, and what is worth reading."""

import re
from functools import cache

from . import cleaning, topics

SHORT = 8  # letters of a reply: 「加油！」 and 「别想太多。」 have fewer, a sentence that answers has more
SERMON = 240  # characters of a reply
_HAN = re.compile(r"[\u3400-\u9fff\U00020000-\U0003ffff]")
_KANA = re.compile(r"[\u3041-\u3096\u30a1-\u30fa\uff66-\uff9d]")
_OTHER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[A-Za-z\u00c0-\u024f][A-Za-z\u00c0-\u024f'’\-]*")
_NO_TEXT, _PRIVATE = re.compile("[\ud800-\udfff]"), re.compile("[\ue000-\uf8ff]")
_LETTERS = re.compile(r"[\W_]+")
_ODD = re.compile("[\u00aa-\u024f]")  # Latin letters with marks, of which no language is made alone
_QUESTION_MARKS = re.compile(r"\?{4,}(?=[\w，。])")
# What ChatML, Llama 3, Phi, Zephyr and GLM write around a role. ms-swift's tokenizer would read them as roles.
_ROLE_MARKS = re.compile(
    r"<\|(?:im_(?:start|end|sep)|(?:start|end)_header_id|(?:begin|end)_of_(?:text|turn)|eot_id|eom_id|end(?:oftext)?"
    r"|endofprompt|system|user|assistant|observation|python_tag|finetune_right_pad_id|reserved_special_token_\d+)\|>"
)
_URL = re.compile(
    r"(?:https?|ftp)://[\w\-]|(?<![\w.@])www\.[A-Za-z0-9\-]+\.[A-Za-z]{2,}|(?<![\w.@/\-])(?=[A-Za-z0-9\-]*[A-Za-z])(?!(?:asp|ado|vb|socket)\.)(?:[A-Za-z0-9\-]+\.)+"
    r"(?:com|cn|net|org|edu|gov|io|cc|top|info|xyz|club|vip|app|site|online|tv|me|co|ly|gl|hk|tw|jp|uk|de|be|fm|ai|dev|la|im|pro|link|wiki|kr|ru|fr|eu)(?![A-Za-z0-9\-.])(?:/[\w\-./?=&%#]*)?",
    re.ASCII | re.IGNORECASE,
)
_ITEM = re.compile(
    r"(?m)(?:^|[\n。；;：:，,、 ])\s*(?:[（(]?\d{1,2}[)）.、．](?!\d)|[（(]?[一二三四五六七八九十]{1,2}[)）、]"
    r"|(?:[Ss]tep|步骤|方法|建议|技巧)\s?[\d一二三四五六][：:.、，]|[①②③④⑤⑥⑦⑧⑨⑩]|[1-9]️⃣)|^\s*[-*•·●▪]\s*\S"
)
_ORDINAL = re.compile(
    r"第[一二三四五六七八九十][，、,：:]|其[一二三四五][，、,：:]|第[一二三四五六]点|第[一二三四五六](?:步|条)?[，、,：:]"
)
_STEPS = re.compile(r"首先|其次|再次|再者|此外|另外|然后|接着|接下来|最后|第一|第二|第三|总之|综上")
_MUST = re.compile(
    r"你(?:们)?(?:应该|必须|应当|要学会|需要学会|不应该|不要|一定要|得学会|务必|不能|要|该|需要)|您(?:应该|必须|应当|不应该|一定要|务必)"
)
_ROBOT = re.compile(
    r"作为(?:一[个名位款])?[^，。]{0,6}(?:人工智能|AI|ai|语言模型|聊天机器人|智能助手|大模型)|我(?:只)?是(?:一[个名款])?(?:人工智能|AI|语言模型)"
)


def letters(text: str) -> str:
    """The text without punctuation and blanks."""
    return _LETTERS.sub("", text)


def garbled(text: str) -> bool:
    """True if characters are lost: replacement characters, 锟斤拷, question marks in their place."""
    if "\ufffd" in text or "锟斤拷锟斤拷" in text or text.count("锟斤拷") > 2 or re.search("(烫|屯)\\1{7}", text):
        return True
    if _NO_TEXT.search(text) or len(_PRIVATE.findall(text)) > 2:
        return True
    if len(odd := _ODD.findall(text)) >= 8 and len(odd) * 2 > len(letters(text)):
        return True
    marks = text.count("?")
    return marks >= 6 and (
        marks * 2 > len(text.strip()) and not letters(text.replace("?", "")).strip() or _lost(text, marks)
    )


def _lost(text: str, marks: int) -> bool:
    runs = len(re.findall(r"\?+", text))
    return marks * 4 >= len(text) and (bool(_QUESTION_MARKS.search(text)) or runs >= 4)


def chinese(text: str) -> bool | None:
    """True if the letters of the text are Chinese, None if it has none."""
    han, kana = len(_HAN.findall(text)), len(_KANA.findall(text))
    if han and kana * 6 < han:
        other = len(_OTHER.findall(text)) - han - kana
        return len(_WORD.findall(text)) <= han * 2 and other <= han * 6
    return None if not _OTHER.search(text) else False


def english(reply: str) -> bool:
    """True if a reply is English, be it with a Chinese word in it."""
    words = [w for w in _WORD.findall(re.sub(r"https?://\S+|《[^》]*》", "", reply))]
    return len(words) >= 2 and len(words) > len(_HAN.findall(reply))


def repeated(replies: list[str]) -> bool:
    """True if two replies are the same, or nearly."""
    seen: list[tuple[str, set[str]]] = []
    for reply in map(letters, replies):
        pairs = {reply[i : i + 2] for i in range(len(reply) - 1)}
        for other, others in seen:
            same = reply == other and len(reply) >= 3
            if same or min(len(reply), len(other)) >= 8 and len(pairs & others) >= 0.8 * len(pairs | others):
                return True
        seen.append((reply, pairs))
    return False


def lecture(reply: str) -> bool:
    """True if a reply lists advice, counts its points or preaches."""
    if len(reply) > SERMON or _ROBOT.search(reply):
        return True
    items = len(_ITEM.findall(reply))
    steps = {"首先" in reply, "其次" in reply or "再次" in reply, "最后" in reply or "总之" in reply}
    return (
        items >= 3
        or len(_ORDINAL.findall(reply)) >= 3
        or steps == {True}
        or len(_MUST.findall(reply)) >= 4
        or "首先" in reply
        and len(set(_STEPS.findall(reply))) >= 4
    )


def quarantine(messages: list[dict], lost: bool, max_tokens: int) -> list[str]:
    """Codes that take a row out, from its repaired messages; `lost` says that a repair found bytes missing."""
    turns = [m for m in messages if m["role"] != "system"]
    reasons = []
    if any(cleaning.is_blank(m["content"]) for m in turns):
        reasons.append("empty_turn")
    roles = [m["role"] for m in messages]
    spoken = roles[1:] if roles[0] == "system" else roles
    if spoken != [("user", "assistant")[i % 2] for i in range(len(spoken))]:
        reasons.append("role_order")
    if roles[-1] != "assistant":
        reasons.append("no_reply")
    texts = [m["content"] for m in messages]
    if any(map(_ROLE_MARKS.search, texts)):
        reasons.append("role_marks")
    if lost or any(map(garbled, texts)):
        reasons.append("garbled")
    else:
        sides = [chinese("\n".join(m["content"] for m in turns if m["role"] == r)) for r in ("user", "assistant")]
        if False in sides and True not in sides:
            reasons.append("not_chinese")
    if tokens_over("\n".join(texts), max_tokens):
        reasons.append("overlong")
    return reasons


def tokens_over(text: str, limit: int) -> bool:
    """True if Llama-3's tokenizer makes more than `limit` tokens of the text. A token is at least a byte."""
    if len(text) * 3 <= limit or len(text.encode("utf-8", "replace")) <= limit:
        return False
    if len(text) > limit * 20:
        return True
    return len(_tokenizer().encode(text.encode("utf-8", "replace").decode(), bos=False, eos=False)) > limit


@cache
def _tokenizer():
    from .. import llama3

    return llama3.tokenizer()


def flags(messages: list[dict]) -> list[str]:
    """Codes of what is worth reading in a row that is kept."""
    visitor = [m["content"] for m in messages if m["role"] == "user"]
    replies = [m["content"] for m in messages if m["role"] == "assistant"]
    found = {
        "crisis": topics.crisis(visitor, replies),
        "medication": topics.medication(replies),
        "diagnosis": topics.diagnosis(replies),
        "short_reply": any(len(letters(r)) < SHORT for r in replies),
        "repeated_reply": repeated(replies),
        "english_reply": any(map(english, replies)),
        "url": any(_URL.search(t) for t in (*visitor, *replies)),
        "lecture": any(map(lecture, replies)),
    }
    return [code for code, hit in found.items() if hit]
