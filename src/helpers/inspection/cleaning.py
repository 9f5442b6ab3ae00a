"""Repairs of one text, each a function from text to text that leaves clean text as it is."""

import re
from functools import cache

ZERO_WIDTH = "\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064\u180e\ufeff\u00ad\u034f\u115f\u1160\u3164\uffa0\u2800"
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_JOINED = re.compile(r"(?<=[\u2190-\u2bff\ufe0f\U0001f000-\U0001faff])\u200d(?=[\u2190-\u2bff\U0001f000-\U0001faff])")
# Controls, joiners, directions, fillers, tags, and what is no character.
_INVISIBLE = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufdd0-\ufdef\uffa0\ufff0-\ufffc\ufffe\uffff\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
_FLAG = "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{2,6}\U000e007f"  # of England and its like: tags
_CONTROL = re.compile(f"({_FLAG})|[{_INVISIBLE}]")
_HIDDEN = re.compile(f"[{_INVISIBLE}\ufe00-\ufe0f]")
# What chooses the look of an emoji, where there is none.
_SELECTOR = re.compile("(?<![#*0-9\u00a9\u00ae\u203c-\u33ff\U0001f000-\U0001faff])[\ufe00-\ufe0f]")
_KEEP = "\ue9f3"  # stands for the joiner inside an emoji while the others go
_FULL = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
# Chinese writes ，！？：；（）～｜ so wide, and － and ．, which turn only beside Latin letters and digits.
_ASCII = re.compile(r"[＂＃＄％＆＇＊＋／０-９＜＝＞＠Ａ-Ｚ［＼］＾＿｀ａ-ｚ｛｝]+")
_DASH_OR_DOT = re.compile(
    r"(?<=[0-9A-Za-z])[－．]+(?=[^\u3000-\u9fff]|$)|(?<![^\s])－(?=[0-9A-Za-z])|(?<=[0-9A-Za-z])－(?=[\u4e00-\u9fff])"
)
# Characters with a simplified form that are right in simplified text all the same: surnames, given names.
_NAMES = frozenset("於佘喆甯昇堃淼祐崑峯鉅谿陞燁瑋韡犇驫翀鈺鋆")
_ALSO = str.maketrans({"妳": "你", "牠": "它", "祇": "只", "著": "着", "裏": "里"})
_WRITTEN = re.compile("著(?=[名作者述书書称稱录錄])|(?<=[名显顯土原编編论論专專卓昭巨拙译譯遗遺合])著")

_KANA, _HAN = re.compile("[\u3041-\u3096\u30a1-\u30fa]"), re.compile("[\u3400-\u9fff]")
# A quotation with kana or Hangul in it, or kana with the characters before it; の alone is a Chinese ornament.
_FOREIGN = re.compile(
    '([“「『"‘《（(][^“”「」『』"‘’《》（）()\n]{0,40}?[\u3041-\u306d\u306f-\u3096\u30a1-\u30fa\uac00-\ud7a3]'
    '[^“”「」『』"‘’《》（）()\n]{0,60}[”」』"’》）)]'
    "|(?:[\u3400-\u9fff々]{0,2}の?[\u3041-\u306d\u306f-\u3096\u30a1-\u30fa]+[\u3041-\u3096\u30a1-\u30fa\u30fc]*)+)"
)


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
    if not _HIDDEN.search(text):
        return text
    text = _SELECTOR.sub("", text)
    text = _JOINED.sub(_KEEP, text).replace("\u2028", "\n").replace("\u2029", "\n")
    return _CONTROL.sub(r"\1", text).replace(_KEEP, "\u200d")


def halfwidth(text: str) -> str:
    """`fullwidth_ascii`: letters, digits and the signs beside them at half width; Chinese punctuation stays."""
    text = _ASCII.sub(lambda m: m[0].translate(_FULL), text)
    return _DASH_OR_DOT.sub(lambda m: m[0].translate(_FULL), text)


def simplified(text: str) -> str:
    """`traditional`: in simplified characters, if the text holds any that simplified text never uses.

    Japanese and Korean stay as they are, be they the whole text or quoted in it.
    """
    hits = _traditional().intersection(text)
    if not hits or _is_japanese(text):
        return text
    if len(hits) == 1 and re.search(f"[姓叫名][“「]?.?{next(iter(hits))}", text):
        return text  # a name
    parts = _FOREIGN.split(text)  # every second part is Japanese or Korean
    if len(parts) > 1 and not hits.intersection("".join(parts[::2])):
        return text
    return "".join(part if place % 2 else _simplified(part) for place, part in enumerate(parts))


def _is_japanese(text: str) -> bool:
    kana = len(_KANA.findall(text))
    return kana > 0 and kana * 3 >= len(_HAN.findall(text)) * 2


def _simplified(text: str) -> str:
    kept = _WRITTEN.sub("\ue9f4", _converter().convert(text))
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
