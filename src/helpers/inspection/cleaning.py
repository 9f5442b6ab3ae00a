"""Repairs of one text, each a function from text to text that leaves clean text as it is."""

import re
from functools import cache

ZERO_WIDTH = "\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064\u180e\ufeff\u00ad"
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_JOINED = re.compile(r"(?<=[\u2190-\u2bff\ufe0f\U0001f000-\U0001faff])\u200d(?=[\u2190-\u2bff\U0001f000-\U0001faff])")
_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufff9-\ufffb]"
)
_KEEP = "\ue9f3"  # stands for the joiner inside an emoji while the others go
_FULL = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_ALNUM = re.compile(r"[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\uff20]+")
_SIGN = re.compile(
    r"[＃＄％＆＜＝＞＠＼｛｝]+|"  # no Chinese punctuation
    r"(?<=[0-9A-Za-z])[＂＃＄％＆＇＊＋－．／＜＝＞＼＿]+(?=[^\u3000-\u9fff]|$)"
    r"|(?<=[0-9A-Za-z])[％＋]|(?<![^\s])[＃＄＋－＜＝＞](?=[0-9A-Za-z])|(?<=[0-9A-Za-z])[＋－／＝＜＞＆](?=[\u4e00-\u9fff])"
)
# Characters with a simplified form that are right in simplified text all the same: surnames, given names.
_NAMES = frozenset("於佘喆甯昇堃淼祐崑峯鉅谿陞燁瑋韡犇驫翀鈺鋆")
_ALSO = str.maketrans({"妳": "你", "牠": "它", "祇": "只", "著": "着", "裏": "里"})
_WRITTEN = re.compile("著(?=[名作者述书書称稱录錄])|(?<=[名显顯土原编編论論专專卓昭巨拙译譯遗遺合])著")


def without_marks(text: str) -> str:
    """`bom`: the text without byte order marks."""
    return text.replace("\ufeff", "")


def without_controls(text: str) -> str:
    """`control_chars`: without control and invisible characters; the joiners inside emoji stay."""
    if text.isascii() and text.isprintable():
        return text
    text = _ANSI.sub("", text)
    end = len(text.rstrip())  # white space at the end is another code's
    text = text[:end].replace("\r\n", "\n").replace("\r", "\n") + text[end:]
    if not _CONTROL.search(text):
        return text
    text = _JOINED.sub(_KEEP, text).replace("\u2028", "\n").replace("\u2029", "\n")
    return _CONTROL.sub("", text).replace(_KEEP, "\u200d")


def halfwidth(text: str) -> str:
    """`fullwidth_ascii`: letters, digits and the signs beside them at half width; Chinese punctuation stays."""
    if not re.search("[\uff01-\uff5e]", text):
        return text
    text = _ALNUM.sub(lambda m: m[0].translate(_FULL), text)
    return _SIGN.sub(lambda m: m[0].translate(_FULL), text)


def simplified(text: str) -> str:
    """`traditional`: in simplified characters, if the text holds any that simplified text never uses."""
    hits = _traditional().intersection(text)
    if not hits:
        return text
    if len(hits) == 1 and re.search(f"[姓叫名][“「]?.?{next(iter(hits))}", text):
        return text  # a name
    fixed = _converter().convert(text)
    kept = _WRITTEN.sub("\ue9f4", fixed)
    return kept.translate(_ALSO).replace("\ue9f4", "著")


@cache
def _converter():
    import opencc

    return opencc.OpenCC("t2s")


@cache
def _traditional() -> frozenset[str]:
    every = [chr(c) for c in (*range(0x3400, 0x4DC0), *range(0x4E00, 0xA000))]
    simple = _converter().convert("\n".join(every)).split("\n")
    differ = {a for a, b in zip(every, simple, strict=True) if a != b and not _in_gb2312(a) and _in_gb2312(b)}
    return frozenset(differ | set("妳牠")) - _NAMES


def _in_gb2312(character: str) -> bool:
    try:
        return bool(character.encode("gb2312"))
    except UnicodeEncodeError:
        return False


def without_trailing_space(text: str) -> str:
    """`trailing_space`: without white space at the end."""
    return text.rstrip()


def is_blank(text: str) -> bool:
    """True if nothing in the text can be seen."""
    return not text.strip().strip(ZERO_WIDTH + " \t\r\n\u3000\u00a0").strip()
