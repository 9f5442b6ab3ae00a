"""Personal data in Chinese text, replaced by a word in brackets. Numbers are checked, hotlines are left alone."""

import re
from datetime import date

_GAP = r"[ \-\u2010-\u2013\u00a0]"
_START, _END = r"(?<![0-9A-Za-z])", r"(?![0-9])"
# A number that is called an order, a pupil or a parcel is no telephone and no card.
_OTHER = re.compile(
    r"(?:学号|工号|单号|订单|编号|流水|条码|考号|准考证|货号|票号|运单|快递单?号|快递单号|货箱|合同号|编码|序列号|账单|积分|会员卡|房号|批号|案号|档案)"
    r"[^，。！？；\d]{0,6}$"
)
_HOTLINE = re.compile(
    r"(?:热线|援助|危机|干预|求助|咨询电话|心理中心|希望24|报警|急救|客服|官方|总机)[^，。！？；]{0,14}$"
)
HOTLINES = frozenset("01082951332 4001619995 8008101117 02112320 01062715275 12356 12355 12345".split())

_EMAIL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%+\-]*@(?:[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}")
_ID = re.compile(rf"{_START}\d{{6}}{_GAP}?\d{{4}}{_GAP}?\d{{4}}{_GAP}?\d{{3}}[\dXx](?![0-9A-Za-z])")
_CARD = re.compile(rf"{_START}(?:\d{{4}}{_GAP}){{3}}\d{{4}}(?:{_GAP}?\d{{1,3}})?{_END}|{_START}\d{{15,19}}{_END}")
_MOBILE = re.compile(
    rf"(?<![0-9A-Za-z+])(?:(?:\+|00)?86{_GAP}?)?(?:1[3-9]\d{_GAP}?\d{{4}}{_GAP}?\d{{4}}|1[3-9]\d{{2}}{_GAP}\d{{3}}{_GAP}\d{{4}})"
    rf"{_END}(?![0-9A-Za-z])|(?<![0-9A-Za-z])\+86{_GAP}?1[3-9](?:{_GAP}?\d){{9}}{_END}"
)
_FIXED = re.compile(
    rf"(?:(?<![0-9A-Za-z])(?:\+86{_GAP}?)?(?:0(?:10|2\d|[3-9]\d\d){_GAP}?|[(（]0(?:10|2\d|[3-9]\d\d)[)）]{_GAP}?)"
    rf"[2-9]\d{{2,3}}{_GAP}?\d{{4}}(?:(?:转|-)\d{{1,5}})?){_END}"
    rf"|(?<=电话)(?P<a>[号码是为：: ]{{0,4}})[2-9]\d{{2,3}}{_GAP}?\d{{4}}{_END}"
    rf"|(?<=座机)(?P<b>[号码是为：: ]{{0,4}})[2-9]\d{{2,3}}{_GAP}?\d{{4}}{_END}"
)
_GIVEN = r"(?:\s*(?:同号|号码|号|账号|id|ID|ID号|就?是|为|：|:|→|=|搜索|搜|加我?)\s*){0,3}\s*[（(“「]?\s*"
_UNIT = r"(?![0-9A-Za-z_\-]|\s*[步元块条级个人次天年月日分秒点岁页张名位群万千百%％+.:：/])"
_WECHAT = re.compile(
    r"(?P<key>微信号?|威信|薇信|维信|徽信|V信|v信|(?<![A-Za-z])(?:vx|VX|Vx|wx|WX|Wx|weixin|WeChat|Wechat|wechat|WECHAT)"
    r"|(?:加|＋|\+)\s*(?:我的?)?\s*[Vv](?![A-Za-z]{2}))"
    rf"(?P<given>{_GIVEN})(?P<handle>[A-Za-z][A-Za-z0-9_\-]{{4,19}}|[1-9]\d{{4,11}}){_UNIT}"
)
_QQ = re.compile(
    r"(?P<key>(?<![A-Za-z])[Qq]{2}(?:群号?|交流群)?|扣扣|企鹅号?|(?<![A-Za-z])[Qq]号|扣扣号)"
    rf"(?P<given>{_GIVEN})(?P<handle>[1-9]\d{{4,11}}){_UNIT}"
)
_ACCOUNT = re.compile(
    r"(?P<key>小红书号|抖音号|快手号|微博号|陌陌号|支付宝账号|支付宝号|钉钉号|探探号|电报号"
    r"|(?<![A-Za-z])(?:Telegram|telegram|TG|LINE|Line)(?:号| ?ID| ?id))"
    rf"(?P<given>{_GIVEN})(?P<handle>[A-Za-z0-9][A-Za-z0-9_\-.]{{4,23}}){_UNIT}"
)


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
    return issuer and luhn(number) and len(set(number)) > 2


def _masked(pattern: re.Pattern, word: str, is_real=lambda text: True, not_after=None):
    def mask(text: str) -> str:
        def one(found: re.Match) -> str:
            before = text[max(0, found.start() - 20) : found.start()]
            if not is_real(found[0]) or not_after and not_after.search(before):
                return found[0]
            return (found.groupdict().get("a") or found.groupdict().get("b") or "") + word

        return pattern.sub(one, text)

    return mask


def _masked_handles(pattern: re.Pattern, word: str):
    def one(found: re.Match) -> str:
        handle, given = found["handle"], found["given"]
        named = found["key"].endswith("号") or re.search(r"号|id|ID|是|：|:|→|=|加|搜", given)
        if not named and not re.search(r"[\d_\-]", handle):
            return found[0]  # 微信 moments
        return found[0][: found.start("handle") - found.start()] + word

    return lambda text: pattern.sub(one, text)


_mail = _masked(_EMAIL, "[邮箱]")
_identity = _masked(_ID, "[身份证号]", _is_id)
_card = _masked(_CARD, "[银行卡号]", _is_card, _OTHER)
_mobile = _masked(_MOBILE, "[手机号]", not_after=_OTHER)
_fixed = _masked(
    _FIXED,
    "[电话号码]",
    lambda t: _digits(t) not in HOTLINES,
    re.compile(f"(?:{_OTHER.pattern})|(?:{_HOTLINE.pattern})"),
)
_wechat = _masked_handles(_WECHAT, "[微信号]")
_qq = _masked_handles(_QQ, "[QQ号]")
_account = _masked_handles(_ACCOUNT, "[账号]")

# In this order: what is masked first is not taken for something shorter.
MASKS = {
    "pii_email": _mail,
    "pii_id": _identity,
    "pii_bankcard": _card,
    "pii_contact": lambda text: _account(_qq(_wechat(text))),
    "pii_phone": lambda text: _fixed(_mobile(text)),
}
MAYBE = re.compile(r"\d{4}|@|[Vv]|[Qq微威薇维徽扣企Ww]|号")  # text without any of these holds no personal data
