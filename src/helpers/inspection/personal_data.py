"""Personal data in Chinese text, replaced by a word in brackets. Numbers are checked, hotlines are left alone."""

import re
from datetime import date

_SIGN = r"[ \-\u00a0\u2010-\u2015\u2022\u2212\u3000\uff0d\u30fb\u00b7._/]"
_GAP = rf"{_SIGN}{{1,2}}"
_START, _END = r"(?<![0-9A-Za-z])", r"(?![0-9])"


def _grouped(*ways: str) -> str:
    """A pattern for digits in groups: `"3 4 4"` is three, four and four digits with a sign between."""
    return "|".join(_GAP.join(rf"\d{{{size}}}" for size in way.split()) for way in ways)


# A number that is called an order, a pupil or a parcel is no telephone and no card.
_OTHER = re.compile(
    r"(?:学号|工号|单号|订单|编号|流水|条码|考号|准考证|货号|票号|运单|快递单?号|快递单号|货箱|合同号|编码|序列号|账单|积分|会员卡|房号|批号|案号|档案)"
    r"[^，。！？；\d]{0,6}$"
)
_HOTLINE = re.compile(
    r"(?:热线|援助|危机|干预|求助|咨询电话|心理中心|希望24|报警|急救|客服|官方|总机)[^，。！？；]{0,14}$"
)
HOTLINES = frozenset("01082951332 4001619995 8008101117 02112320 01062715275 12356 12355 12345".split())

_FILE = r"(?!\S*\.(?:png|jpe?g|gif|webp|svg|pdf|psd|mp[34]|css|js|ts)(?![A-Za-z]))"  # icon@2x.png
_EMAIL = re.compile(
    rf"[A-Za-z0-9][A-Za-z0-9._%+\-]* ?@ ?{_FILE}(?:[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?\.)+[A-Za-z]{{2,}}"
)
_ID = re.compile(
    rf"{_START}(?:{_grouped('17', '6 8 3', '6 4 4 3', '3 3 4 4 3', '3 3 8 3', '6 4 2 2 3', '6 11', '14 3')})[\dXx]"
    r"(?![0-9A-Za-z])"
)
_CARD = re.compile(rf"{_START}(?:{_grouped('4 4 4 4 1,3', '4 4 4 4,7', '6 13', '6 10', '8 8', '15,19')}){_END}")
_CHINA = rf"[(（]?(?:[+＋]|00)?86[)）]?{_SIGN}{{0,2}}"
_NUMERAL = "[一二三四五六七八九零〇幺]"
_MOBILE = re.compile(
    rf"(?<![0-9A-Za-z+])(?<!\d\.)(?:{_CHINA})?(?=1[3-9])"
    rf"(?:{_grouped('11', '3 4 4', '3 3 5', '4 3 4', '3 8', '4 7', '5 6', '7 4')}){_END}(?![0-9A-Za-z])"
    rf"|(?<![0-9A-Za-z])\+86{_SIGN}?1[3-9](?:{_SIGN}?\d){{9}}{_END}"
    rf"|(?<!{_NUMERAL})[一幺][三四五六七八九]{_NUMERAL}{{9}}(?!{_NUMERAL})"
)
_AREA = r"(?:10|2\d|[3-9]\d\d)"
_FIXED = re.compile(
    rf"(?:{_START}(?:{_CHINA}[(（]?0?{_AREA}[)）]?|0{_AREA}|[(（]0{_AREA}[)）]){_SIGN}{{0,2}}"
    rf"[2-9]\d{{2,3}}(?:{_GAP})?\d{{4}}(?:\s*(?:转|分机号?|[Ee]xt\.?|{_SIGN})\s*\d{{1,5}})?){_END}"
    rf"|(?<=电话)(?P<a>[号码是为：: ]{{0,4}})[2-9]\d{{2,3}}(?:{_GAP})?\d{{4}}{_END}"
    rf"|(?<=座机)(?P<b>[号码是为：: ]{{0,4}})[2-9]\d{{2,3}}(?:{_GAP})?\d{{4}}{_END}"
)
_GIVEN = r"\s*[❤♥️]{0,2}(?:\s*(?:同号|号码|号|账号|id|ID|ID号|就?是|为|：|:|→|=|搜索|搜|加我?)\s*){0,3}\s*[（(“「]?\s*"
_UNIT = r"(?![0-9A-Za-z_\-]|\s*[步元块条级个人次天年月日分秒点岁页张名位群万千百%％+.:：/])"
_WECHAT = re.compile(
    r"(?P<key>微[❤♥💗💚]?️?信号?|威信|薇信|维信|徽信|卫星号|绿泡泡|V信|v信|(?<![A-Za-z])(?:vx|VX|Vx|wx|WX|Wx|weixin|WeChat|Wechat|wechat|WECHAT)"
    r"|(?:加|＋|\+|➕|我)\s*(?:我的?|的)?\s*(?:[Vv](?![A-Za-z]{2})|微|薇|威|卫星)|(?<![A-Za-z0-9])[Vv](?=[❤♥️]*\s*[：:号❤♥]))"
    rf"(?P<given>{_GIVEN})(?P<handle>[A-Za-z][A-Za-z0-9_\-]{{4,19}}|[1-9]\d{{4,11}}){_UNIT}"
)
_QQ = re.compile(
    r"(?P<key>(?<![A-Za-z])[Qq]{2}(?:群号?|交流群)?|扣扣号?|企鹅号?|(?<![A-Za-z])[Qq](?=\s*[：:号是群])群?号?|加[Qq扣]|扣(?=[：:]))"
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
    born = number[6:14] if len(number) in (17, 18) else ""  # an identity number with a slip of the pen is no card
    return issuer and luhn(number) and len(set(number)) > 2 and not re.match(r"(19|20)\d\d(0[1-9]|1[0-2])[0-3]\d", born)


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
MAYBE = re.compile(
    rf"\d{{3}}|@|[Vv]|[Qq微威薇维徽扣企Ww绿卫]|号|{_NUMERAL}{{7}}"
)  # text without any of these holds no personal data
