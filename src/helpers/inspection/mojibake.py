"""Text that was decoded with the wrong encoding: repaired where certain, `lost` where bytes are gone."""

import re
from functools import cache, lru_cache

import ftfy
import ftfy.bad_codecs  # noqa: F401  registers the sloppy codecs, which keep undefined bytes as control characters

HAN = re.compile(r"[\u3400-\u9fff]")
CHINESE = re.compile(r"[\u2010-\u2027\u3000-\u303f\u3400-\u9fff\uff01-\uff5e\U0001f300-\U0001faff]")
CODECS = ("sloppy-windows-1252", "sloppy-windows-1254", "latin-1")
_CERTAIN = ftfy.TextFixerConfig(replace_lossy_sequences=False)
# What é, £, € and 😢 become.
_PLAIN = re.compile(
    "Ã[\x80-\xbf\u0152-\u0192\u02c6-\u2122]|Â[\xa0-\xbf]|â(?:\x82|‚)¬|â[€\x80][\x80-\xbf\u0152-\u0192\u02c6-\u2122]|ð[\x9f\u0178]"
)
_LEADS = re.compile(r"[\xc2-\xf4]")


def _byte_of(codec: str) -> dict[str, int]:
    return {bytes([b]).decode(codec): b for b in range(0x80, 0x100)} | {" ": 0xA0}  # NBSP often becomes a blank


def _class(table: dict[str, int], low: int, high: int) -> str:
    return "[" + "".join(re.escape(c) for c, b in table.items() if low <= b <= high) + "]"


def _sequences(table: dict[str, int]) -> re.Pattern:
    tail, lead = _class(table, 0x80, 0xBF), lambda low, high: _class(table, low, high)
    one = f"(?:{lead(0xC2, 0xDF)}{tail}|{lead(0xE0, 0xEF)}{tail}{{2}}|{lead(0xF0, 0xF4)}{tail}{{3}})"
    return re.compile(f"{one}+")


_TABLES = {codec: _byte_of(codec) for codec in CODECS}
_PATTERNS = {codec: _sequences(table) for codec, table in _TABLES.items()}
_TAILS = "".join({c for table in _TABLES.values() for c, b in table.items() if 0x80 <= b <= 0xBF and c != " "})
# A lead byte of a Chinese character and what followed it: no language writes many of these.
_SCRAPS = re.compile(f"[\xe2-\xe9\xef][{re.escape(_TAILS)}]|[\xe3-\xe9\xef](?=[\xe3-\xe9\xef])|[\x80-\x9f]")


@lru_cache(256)  # asked for the same text twice: once for the repair, once for what is lost
def repair(text: str) -> tuple[str, bool]:
    """The text as it was meant, and True if bytes were lost so that no repair is certain."""
    fixed, changed = text, False
    if _LEADS.search(text):
        fixed, changed = _from_latin(text)
        scraps = len(_SCRAPS.findall(fixed))
        if scraps and (changed or scraps >= 3 and scraps * 8 >= len(fixed)):
            return text, True
        if changed and re.search("[\xe3-\xe9\xef][\u3400-\u9fff]|[\u3400-\u9fff][\xe3-\xe9\xef\xc2\xc3]", fixed):
            return text, True
        if not changed and _PLAIN.search(fixed):
            fixed = ftfy.fix_encoding(fixed, _CERTAIN)  # `CafÃ©`, a price, an emoji among sound Chinese
    if HAN.search(fixed):
        fixed, lost = _from_gbk(fixed)
        if lost:
            return text, True
    return fixed, False


def _from_latin(text: str) -> tuple[str, bool]:
    changed = False
    for _ in range(3):  # text can be misread more than once
        best = max((_pass(text, codec) for codec in CODECS), key=lambda t: len(CHINESE.findall(t)))
        if len(CHINESE.findall(best)) <= len(CHINESE.findall(text)):
            best = max((_pass(text, codec) for codec in CODECS), key=_after_one_more)
            if best == text or _after_one_more(best) < len(HAN.findall(text)) + 2:
                break
        text, changed = best, True
    return text, changed


def _after_one_more(text: str) -> int:
    return max(len(HAN.findall(_pass(text, codec))) for codec in CODECS)


def _pass(text: str, codec: str) -> str:
    table = _TABLES[codec]

    def one(found: re.Match) -> str:
        raw = bytes(table[c] for c in found[0])
        try:
            meant = raw.decode()
        except UnicodeDecodeError:
            return found[0]
        before = text[found.start() - 1 : found.start()]
        if len(meant) == 1 and (before.isascii() and before.isalpha() or not _common(meant)):
            return found[0]  # `café”…` is no mojibake
        return meant

    return _PATTERNS[codec].sub(one, text)


@cache
def _common_characters() -> frozenset[str]:
    """The 3,755 most used Chinese characters (level 1 of GB 2312) and Chinese punctuation."""
    rows = (0xA1, 0xA3, *range(0xB0, 0xD8))
    return frozenset("".join(bytes([r, c]).decode("gb2312", "ignore") for r in rows for c in range(0xA1, 0xFF)))


def _common(character: str) -> bool:
    return character in _common_characters()


def _count_common(text) -> int:
    return sum(map(_common_characters().__contains__, text))


def _gbk_bytes(text: str) -> bytes:
    return b"\x80".join(part.encode("gb18030", "replace") for part in text.split("\u20ac"))


def _meant(text: str) -> str | None:
    try:
        meant = _gbk_bytes(text).decode()
    except UnicodeDecodeError:
        return None
    common = _count_common(meant)
    return meant if common >= 2 and common * 2 > len(HAN.findall(meant)) else None


# Chinese characters and punctuation in UTF-8, at least two of them, with ASCII between.
_UTF8 = rb"(?:[\xe4-\xe9][\x80-\xbf]{2}|\xef[\xbc\xbd][\x80-\xbf]|\xe2\x80[\x94-\xa6]|\xe3\x80[\x80-\xbf])"
_RUN = re.compile(_UTF8 + rb"(?:[ -~]*" + _UTF8 + rb")+")


def _from_gbk(text: str) -> tuple[str, bool]:
    if len(HAN.findall("".join(set(text) - _common_characters()))) < 2:
        return text, False
    whole = _meant(text)
    if whole is not None:
        return whole, False
    fixed, lost = _runs(text)
    return (text, True) if lost or any(map(_looks_gbk, re.split(r"[，。！？；：、“”…\s]+", fixed))) else (fixed, False)


def _runs(text: str) -> tuple[str, bool]:
    """The text with its misread stretches mended, and True if what stands beside one is a scrap of the same."""
    raw, place = bytearray(), {0: 0}
    for number, character in enumerate(text):
        raw += _gbk_bytes(character)
        place[len(raw)] = number + 1
    done, fixed, lost = 0, [], False
    for found in _RUN.finditer(bytes(raw)):
        spans = [(found.start() + m.start(), found.start() + m.end()) for m in re.finditer(_UTF8, found[0])]
        begin = min((a for a, _ in spans if a in place), default=0)  # a stretch lies between two characters
        end = max((b for _, b in spans if b in place), default=0)
        if end <= begin:
            continue
        start, stop = place[begin], place[end]
        meant = raw[begin:end].decode()
        han = HAN.findall(meant)
        rare = stop - start - _count_common(text[start:stop])
        # two characters became three: enough, if these are rare and those are not
        few = stop - start < 4 and (rare < 2 or _count_common(meant) < 2 or len(meant) > 2)
        if few or _count_common(han) * 10 < len(han) * 8 or rare * 2 < stop - start:
            continue
        beside = text[max(done, start - 1) : start] + text[stop : stop + 1]
        lost |= any(HAN.match(c) and not _common(c) for c in beside)
        fixed += [text[done:start], meant]
        done = stop
    return "".join([*fixed, text[done:]]), lost


def _looks_gbk(text: str) -> bool:
    """True if the bytes hold many common characters as UTF-8 although the text as it stands is rare ones."""
    han = HAN.findall(text)
    if len(han) < 3 or _count_common(han) * 10 > len(han) * 6:
        return False
    meant = _gbk_bytes(text).decode("utf-8", "replace")
    good = _count_common(meant)
    return good >= 2 and good * 4 >= len(han)
