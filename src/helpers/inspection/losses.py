"""Text of which characters are gone for good: nothing can bring them back, so the row is no example."""

import re

_NO_TEXT, _PRIVATE = re.compile("[\ud800-\udfff]"), re.compile("[\ue000-\uf8ff]")
_LETTERS = re.compile(r"[\W_]+")
_ODD = re.compile("[\u00aa-\u024f]")  # Latin letters with marks, of which no language is made alone
# U+FFFD, in HTML too; its UTF-8 read as Western, Central European, Cyrillic, DOS, Macintosh, Big5, Korean, Japanese.
_REPLACED = re.compile("\ufffd|ï¿½|ďż˝|пїЅ|∩┐╜|ÔøΩ|Ã¯Â¿Â½|嚙踝蕭|啮踝萧|占쏙옙|ｿｽ・ｿｽ|&#65533;|&#x[Ff]{3}[Dd];")
_SIGN = re.compile(
    "[\u00aa-\u024f\ud800-\uf8ff□▯⎕◻☐\ufffdп∩嚙啮占ｿ&锟烫屯葺]"
)  # no loss but of question marks without one
# Somebody tells of the damage; else the sign stands where a character was.
_TOLD = re.compile("[“‘「『\"']锟斤拷|乱码|显示|屏幕|打开|文件|文档|电脑|编码|网页|满是|全是|都是|写着|变成")
_SAME_BYTES = re.compile(r"(烫|屯|葺)\1{7}")  # memory that nobody wrote to, read as GBK
_BOXES = re.compile("[□▯⎕◻☐]{4,}")  # what a font shows for a character that it lacks
_BOX = re.compile("[□▯⎕◻☐]")
_BETWEEN = re.compile(r"(?<=[\u4e00-\u9fff])\?{1,3}(?=[\u4e00-\u9fff])")  # marks in the place of one character
_HOLE = re.compile(r"(?<!\?)(\?{4,})(?=([，、；])|[\u4e00-\u9fff])")
_LAST_CLAUSE = re.compile(r"[^，。！？!?；…\n]*$")
# Somebody who asks or tells of question marks means them; so does one who cries out, if no comma follows.
_ASKS = re.compile(r"[吗呢么嘛谁啥哪号串“”‘’\"'「：:（(]$|什么|怎么|为何|哪[里儿个些]|谁|几[个次点]|难道|凭啥|问号")
_CRIES = re.compile(r"[吧啊呀啦哦噢哈了的]$")


def garbled(text: str) -> bool:
    """True if characters are lost: replacement characters, 锟斤拷, boxes, question marks in their place."""
    if _SIGN.search(text) and _damaged(text):
        return True
    marks = text.count("?")
    return marks >= 4 and (_holes(text) or _scattered(text) or marks >= 6 and _mostly_marks(text, marks))


def _damaged(text: str) -> bool:
    if _REPLACED.search(text) or "锟斤拷锟" in text or text.count("锟斤拷") > 2:
        return True
    if any(not _TOLD.search(sentence) for sentence in re.findall("[^。！？；\n]*锟斤拷[^。！？；\n]*", text)):
        return True
    if _SAME_BYTES.search(text) or _NO_TEXT.search(text) or len(_PRIVATE.findall(text)) > 2 or _BOXES.search(text):
        return True
    if len(_BOX.findall(text)) >= 6:
        return True
    odd = len(_ODD.findall(text))
    return odd >= 8 and odd * 2 > len(_LETTERS.sub("", text))


def _mostly_marks(text: str, marks: int) -> bool:
    if marks * 2 > len(text.strip()) and not _LETTERS.sub("", text.replace("?", "")):
        return True
    return marks * 4 >= len(text) and len(re.findall(r"\?+", text)) >= 4


def _scattered(text: str) -> bool:
    """True if marks stand between characters, often, where nobody asks."""
    clauses = [_LAST_CLAUSE.search(text[max(0, m.start() - 20) : m.start()])[0] for m in _BETWEEN.finditer(text)]
    return sum(not (_ASKS.search(c) or _CRIES.search(c)) for c in clauses) >= 4


def _holes(text: str) -> bool:
    """True if question marks stand where a sentence has to go on."""
    holes = 0
    for hole in _HOLE.finditer(text):
        before = _LAST_CLAUSE.search(text[max(0, hole.start() - 20) : hole.start()])[0]
        begins = not text[: hole.start()].rstrip() or text[hole.start() - 1] in "。！!？…\n"
        if begins and not hole[2] or _ASKS.search(before):
            continue
        if hole[2] or len(hole[1]) >= 5 and not _CRIES.search(before):
            return True
        holes += not (begins or _CRIES.search(before))
    return holes >= 2
