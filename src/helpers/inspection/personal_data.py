"""Personal data in Chinese text, replaced by a word in brackets. Numbers are checked, hotlines are left alone."""

import re
from datetime import date
from functools import lru_cache

from . import addresses, handles

_SIGN = r"[ \-\u00a0\u2010-\u2015\u2022\u2212\u3000\uff0d\u30fb\u00b7._/]"
_GAP = rf"{_SIGN}{{1,3}}"
_START, _END = r"(?<![0-9A-Za-z])", r"(?![0-9])"


def _grouped(*ways: str) -> str:
    """A pattern for digits in groups: `"3 4 4"` is three, four and four digits with a sign between."""
    return "|".join(_GAP.join(rf"\d{{{size}}}" for size in way.split()) for way in ways)


# A number that is called an order, a pupil or a parcel is no telephone and no card.
_OTHER = re.compile(
    r"(?:学号|工号|单号|订单|编号|流水|条码|考号|准考证|货号|票号|运单|快递单?号|快递单号|货箱|合同号|编码|序列号|账单|积分|会员卡|房号|批号|案号|档案)"
    r"[^，。！？；\d]{0,6}$"
)
_HOTLINE = re.compile(r"(?:热线|援助|危机|干预|求助|咨询电话|心理中心|希望24|报警|急救)[^，。！？；]{0,14}$")
_SWITCHBOARD = re.compile(r"(?:客服|官方|总机)[^，。！？；]{0,14}$")  # public, unless it is somebody's extension
HOTLINES = frozenset("01082951332 4001619995 8008101117 02112320 01062715275 12356 12355 12345".split())

_NUMERAL = "[一二三四五六七八九零〇幺]"
# However it is grouped: a run of digits in which an identity number may lie, for its check digit decides.
_ID = re.compile(rf"{_START}\d(?:{_SIGN}{{0,2}}\d){{16,80}}{_SIGN}{{0,2}}[\dXx](?![0-9A-Za-z])")
_ID_WORDS = re.compile(rf"(?<!{_NUMERAL}){_NUMERAL}{{17}}(?:{_NUMERAL}|[Xx])(?!{_NUMERAL})")
_WORDS = str.maketrans("一二三四五六七八九零〇幺", "123456789001")
_CARD = re.compile(
    rf"{_START}(?:{_grouped('4 4 4 4 1,3', '4 4 4 4,7', '4 6 5', '6 13', '6 10', '8 8', '15,19')}){_END}"
)
_CHINA = rf"[(（]?(?:[+＋]|00)?86[)）]?{_SIGN}{{0,2}}"
_MOBILE = re.compile(
    rf"(?:(?<![0-9A-Za-z+])|(?<=[Tt]el)|(?<=TEL)|(?<=[Pp]hone))(?<!\d\.)(?:{_CHINA})?(?=1[3-9])"
    rf"(?:{_grouped('11', '3 4 4', '3 3 5', '4 3 4', '4 4 3', '3 8', '4 7', '5 6', '7 4')}){_END}(?![0-9A-Za-z])"
    rf"|(?<![0-9A-Za-z])\+86{_SIGN}?1[3-9](?:{_SIGN}?\d){{9}}{_END}"
    rf"|(?<![0-9A-Za-z])1(?P<sign>[ .\-])[3-9](?:(?P=sign)\d){{9}}{_END}"
    rf"|(?<!{_NUMERAL})[一幺][三四五六七八九]{_NUMERAL}{{9}}(?!{_NUMERAL})"
)
_AREA = r"(?:10|2\d|[3-9]\d\d)"
_EXTENSION = r"[ ，,]{0,2}(?:转|分机号?|内线|[Ee][Xx][Tt]\.?|[#＃])[ 分机号是为：:]{0,4}\d{2,6}"
_FIXED = re.compile(
    rf"(?:{_START}(?:{_CHINA}[(（]?0?{_AREA}[)）]?|0{_AREA}|[(（]0{_AREA}[)）]){_SIGN}{{0,2}}"
    rf"[2-9]\d{{2,3}}(?:{_GAP})?\d{{4}}(?:{_EXTENSION}|(?:\s*转\s*|[\-\u2010-\u2015])\d{{1,5}})?){_END}"
    rf"|(?<=电话)(?P<a>[号码是为：: ]{{0,4}})[2-9]\d{{2,3}}(?:{_GAP})?\d{{4}}(?:{_EXTENSION})?{_END}"
    rf"|(?<=座机)(?P<b>[号码是为：: ]{{0,4}})[2-9]\d{{2,3}}(?:{_GAP})?\d{{4}}(?:{_EXTENSION})?{_END}"
)
_EXTENDED = re.compile(_EXTENSION + "$")
_IN_GROUPS = re.compile(r"\d{4}[ \-]$")


def id_check_digit(first17: str) -> str:
    """The eighteenth character of a resident identity number (GB 11643, ISO 7064 MOD 11-2)."""
    return "10X98765432"[sum(int(c) * 2 ** (17 - i) for i, c in enumerate(first17)) % 11]


def luhn(digits: str) -> bool:
    """True if the check digit of a card number is right (ISO/IEC 7812-1)."""
    return sum(sum(divmod(int(c) * (1 + i % 2), 10)) for i, c in enumerate(reversed(digits))) % 10 == 0


def _digits(text: str) -> str:
    return re.sub(r"[^0-9Xx]", "", text).upper()


def _is_id(text: str) -> bool:
    number = _digits(text)
    try:
        born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    return (
        11 <= int(number[:2]) <= 83
        and 1850 < born.year <= date.today().year
        and id_check_digit(number[:17]) == number[17]
    )


def _is_card(text: str) -> bool:
    number = _digits(text)
    issuer = number.startswith(
        ("62", "4", "51", "52", "53", "54", "55", "35", "37", "60", "65", "68", "69", "9558", "81")
    )
    born = number[6:14] if len(number) in (17, 18) else ""  # an identity number with a slip of the pen is no card
    return issuer and luhn(number) and len(set(number)) > 2 and not re.match(r"(19|20)\d\d(0[1-9]|1[0-2])[0-3]\d", born)


def _identities(text: str) -> str:
    text = _ID.sub(lambda found: _within(found[0]), text)
    return _ID_WORDS.sub(lambda found: "[身份证号]" if _is_id(found[0].translate(_WORDS)) else found[0], text)


def _within(run: str) -> str:
    """The run of digits with every identity number in it replaced; one begins and ends with a group."""
    groups = list(re.finditer(r"\d+[Xx]?", run))
    for place, first in enumerate(groups):
        digits = 0
        for last in groups[place : place + 18]:
            digits += len(last[0])
            if digits == 18 and _is_id(run[first.start() : last.end()]):
                return f"{run[: first.start()]}[身份证号]{_within(run[last.end() :])}"
    return run


def _masked(pattern: re.Pattern, word: str, is_real=lambda found, before: True):
    def mask(text: str) -> str:
        def one(found: re.Match) -> str:
            if not is_real(found, text[max(0, found.start() - 20) : found.start()]):
                return found[0]
            return (found.groupdict().get("a") or found.groupdict().get("b") or "") + word

        return pattern.sub(one, text)

    return mask


def _is_fixed(found: re.Match, before: str) -> bool:
    if _OTHER.search(before) or _HOTLINE.search(before) or _digits(found[0]) in HOTLINES:
        return False
    if _SWITCHBOARD.search(before) and not _EXTENDED.search(found[0]):
        return False
    # four digits before it make it the middle of a longer number, unless these end with another telephone's
    return not _IN_GROUPS.search(before) or bool(_FIXED.search(before) or _MOBILE.search(before))


_mail = _masked(addresses.EMAIL, "[邮箱]")
_card = _masked(_CARD, "[银行卡号]", lambda found, before: _is_card(found[0]) and not _OTHER.search(before))
_mobile = _masked(_MOBILE, "[手机号]", lambda found, before: not _OTHER.search(before))
_fixed = _masked(_FIXED, "[电话号码]", _is_fixed)

# In this order: what is masked first is not taken for something shorter.
MASKS = {
    "pii_email": lambda text: _mail(text) if addresses.MAY_BE_MAIL.search(text) else text,
    "pii_id": _identities,
    "pii_bankcard": _card,
    "pii_contact": handles.masked,
    "pii_phone": lambda text: _fixed(_mobile(text)),
}
_ANY = re.compile("[0-9A-Za-z@艾]")
_SOME = re.compile(r"[0-9A-Za-z_.\-]{5}|\d\W{0,2}\d\W{0,2}\d|@|艾特|[Aa][Tt][\s\])}）】>＞]")
_NUMERALS = re.compile(f"{_NUMERAL}{{5}}")


@lru_cache(64)  # asked once for each mask
def may_be_in(text: str) -> bool:
    """False if the text holds no personal data; True says that it is worth a look."""
    return bool(_ANY.search(text) and _SOME.search(text) or _NUMERALS.search(text))
