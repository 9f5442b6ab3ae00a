"""Addresses on the net in Chinese text: mail addresses, be they hidden from robots, and web addresses."""

import re

_TLD = (
    "com|cn|net|org|edu|gov|io|cc|top|info|xyz|club|vip|app|site|online|tv|me|co|ly|gl|hk|tw|jp|uk|de|be|fm|ai|dev|la"
    "|im|pro|link|wiki|kr|ru|fr|eu"
)
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9\\-]{0,61}[A-Za-z0-9])?"
_NO_FILE = r"(?!\S*\.(?:png|jpe?g|gif|webp|svg|pdf|psd|mp[34]|css|js|ts)(?![A-Za-z]))"  # icon@2x.png
_LOCAL = r"[A-Za-z0-9][A-Za-z0-9._%+\-]{0,63}"
_OPEN, _CLOSE = r" ?[\[(（{【<＜] ?", r" ?[\])）}】>＞] ?"
_DOT_WORD = rf"(?:{_OPEN}(?:dot|DOT|Dot|点|\.){_CLOSE}| (?:dot|DOT|Dot) )"
_DOT = rf"(?:[.。．]|{_DOT_WORD}|点(?=[A-Za-z]))"
_AT = rf"(?: ?@ ?|{_OPEN}(?:at|AT|At|a|艾特|圈a|@){_CLOSE}|艾特)"
_PROVIDER = (
    "163|126|139|188|189|qq|gmail|outlook|hotmail|foxmail|sina|sohu|yeah|icloud|aliyun|yahoo|live|msn|tom|21cn|wo|vip"
)
EMAIL = re.compile(
    rf"{_LOCAL}{_AT}{_NO_FILE}(?:{_LABEL}{_DOT})+[A-Za-z]{{2,}}"
    # ` at ` is a word of English too, so the rest has to be an address beyond doubt
    rf"|{_LOCAL} (?:at|AT|At) (?:(?:{_LABEL}{_DOT_WORD})+[A-Za-z]{{2,}}|(?:{_PROVIDER})\.(?:com|cn|net)(?:\.cn)?)"
    r"|(?:[A-Za-z0-9._\-]+|(?<![\u4e00-\u9fff])[\u4e00-\u9fff]{2,4})@[\u4e00-\u9fff]{1,12}\.(?:中国|公司|网络|com|cn)"
    rf"|{_LOCAL} ?[#＃*] ?(?:{_PROVIDER})\.(?:com|cn|net)(?:\.cn)?(?![A-Za-z])"
)
MAY_BE_MAIL = re.compile(r"@|[Aa][Tt][\]\s)）}】>＞]|艾特|[#*] ?[a-z1-9]|[(（]a[)）]")
_LATIN = re.compile("[A-Za-z]{2}")
_URL = re.compile(
    r"(?:https?|ftp|hxxps?) ?[:：] ?[/／\\]{2}[\w\-]|(?<![\w.@])www ?[.。．点] ?[A-Za-z0-9\-]+ ?[.。．点] ?[A-Za-z]{2,}"
    r"|(?<![\w.@/\-])(?=[A-Za-z0-9\-]*[A-Za-z])(?!(?:asp|ado|vb|socket)\.)(?:[A-Za-z0-9\-]+\.)+"
    rf"(?:{_TLD})(?![A-Za-z0-9\-.])(?:/[\w\-./?=&%#]*)?"
    r"|(?<![\w.@/\-])[A-Za-z0-9\-]{2,} ?[。．点] ?(?:com|cn|net|org)(?![A-Za-z])",
    re.ASCII | re.IGNORECASE,
)


def has_url(text: str) -> bool:
    """True if the text holds a web address."""
    return bool(_LATIN.search(text) and _URL.search(text))


def without_urls(text: str) -> str:
    """The text without its web addresses."""
    return _URL.sub("", re.sub(r"https?://[!-~]+", "", text)) if _LATIN.search(text) else text
