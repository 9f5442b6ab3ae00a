"""Accounts in Chinese text: WeChat, QQ and other names under which somebody can be reached."""

import re

_NUMERAL = "[一二三四五六七八九零〇幺]"
_GIVEN = (
    r"\s*[❤♥️]{0,2}(?:同名[，,]?)?(?:\s*(?:同号|号码|号|账号|id|ID|ID号|就?是|为|：|:|→|=|搜索|搜|加我?)\s*){0,3}"
    r"\s*[（(“「]?\s*"
)
_UNIT = r"(?![0-9A-Za-z_\-]|\s*[步元块条级个人次天年月日分秒点岁页张名位群万千百%％+.:：/])"
_WECHAT = re.compile(
    r"(?P<key>微(?:[❤♥💗💚]️?信?|信)号?|威信|薇信|维信|徽信|卫星号|绿泡泡|V信|v信"
    r"|(?<![A-Za-z])(?:vx|VX|Vx|wx|WX|Wx|weixin(?: ?hao)?|WeChat|Wechat|wechat|WECHAT)|卫星(?=\s*[：:]?\s*[A-Za-z])"
    r"|(?:加|＋|\+|➕|我)\s*(?:我的?|的)?\s*(?:[Vv](?![A-Za-z]{2})|微|薇|威|卫星)|(?<![A-Za-z0-9])[Vv](?=[❤♥️]*\s*[：:号❤♥]))"
    rf"(?P<given>{_GIVEN})(?P<handle>[A-Za-z][A-Za-z0-9_\-]{{4,19}}|[1-9]\d{{4,11}}){_UNIT}"
)
_SPACED = r"[1-9]\d{0,4}(?P<sign>[ \-.·_])\d{1,5}(?:(?P=sign)\d{1,5}){0,9}"
_QQ = re.compile(
    r"(?P<key>(?<![A-Za-z])[Qq]{2}(?:群号?|交流群)?|扣扣号?|企鹅号?|🐧号?|(?<![A-Za-z])[Qq](?=\s*[：:号是群])群?号?|加我?[Qq扣]|扣(?=[：:]))"
    rf"(?P<given>{_GIVEN})(?P<handle>{_SPACED}|[1-9]\d{{4,11}}|{_NUMERAL}{{5,12}}){_UNIT}"
)
_ACCOUNT = re.compile(
    r"(?P<key>小红书号|抖音号|快手号|微博号|陌陌号|支付宝账号|支付宝号|钉钉号|探探号|电报号"
    r"|(?<![A-Za-z])(?:Telegram|telegram|TG|LINE|Line)(?:号| ?ID| ?id))"
    rf"(?P<given>{_GIVEN})(?P<handle>[A-Za-z0-9][A-Za-z0-9_\-.]{{4,23}}){_UNIT}"
)
_NAMED = re.compile(r"号|id|ID|是|：|:|→|=|加|搜")


def _masked(pattern: re.Pattern, word: str):
    def one(found: re.Match) -> str:
        handle, spaced = found["handle"], found.groupdict().get("sign")
        named = found["key"].endswith("号") or _NAMED.search(found["given"])
        if not named and (spaced or not re.search(r"[\d_\-]", handle)):
            return found[0]  # 微信 moments
        if spaced and not 5 <= len(re.sub(r"\D", "", handle)) <= 12:
            return found[0]
        return found[0][: found.start("handle") - found.start()] + word

    return lambda text: pattern.sub(one, text)


_wechat, _qq, _account = _masked(_WECHAT, "[微信号]"), _masked(_QQ, "[QQ号]"), _masked(_ACCOUNT, "[账号]")


def masked(text: str) -> str:
    """The text with every account replaced by a word in brackets."""
    return _account(_qq(_wechat(text)))
