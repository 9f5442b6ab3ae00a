"""Inspection: the forms in which what is repaired or repeated comes, each with a near miss that stays as it is."""

import json
import random

import numpy as np
import pytest

from helpers.inspection import addresses, cleaning, duplicates, inspect, row, rules
from helpers.inspection.codes import actions
from helpers.profile import ROOT

TURNS = [
    ("human", "搬家以后我总睡不好，夜里一听见声音就醒。"),
    ("gpt", "新屋子的夜里，你听见的是什么？慢慢说，我在听。"),
]


def repaired(text: str) -> tuple[str, list[str]]:
    after, done, _ = row.repaired(text, actions())
    return after, [code for code, _, _ in done]


def dialogue(change=lambda text: text) -> str:
    return json.dumps({"conversations": [{"from": who, "value": change(text)} for who, text in TURNS]})


SPACED = [
    lambda t: t.replace("，", "， "),
    lambda t: t.replace("。", "。\n\n"),
    lambda t: "  " + t,
    lambda t: t.replace("我", "\u3000我\u00a0"),
]
MARKED = [lambda t: t.replace("。", "！"), lambda t: t.replace("，", ",")]


@pytest.mark.parametrize(
    "change, code", [*((f, "duplicate") for f in SPACED), *((f, "near_duplicate") for f in MARKED)]
)
def test_white_space_makes_no_other_dialogue_but_marks_do(tmp_path, change, code):
    (tmp_path / "rows.jsonl").write_text(f"{dialogue()}\n{dialogue(change)}\n", encoding="utf-8")
    report = inspect([tmp_path / "rows.jsonl"], tmp_path / "out")
    found = {name: each["rows"] for name, each in report["codes"].items() if each["rows"]}
    assert found.pop(code) == 1 and not found.keys() & {"duplicate", "near_duplicate"}


def test_a_dialogue_with_an_exchange_cut_or_answered_anew_is_nearly_the_same():
    dice = random.Random(2)
    written = [json.loads(x)["conversations"] for x in (ROOT / "data" / "train.jsonl").open(encoding="utf-8")]
    long = [[t["value"] for t in turns] for turns in written if len(turns) >= 6][:80]
    changed = [turns[:-2] if i % 2 else [*turns[:-1], dice.choice(long)[-1]] for i, turns in enumerate(long)]
    texts = [rules.letters("".join(turns)) for turns in long + changed]
    signatures = np.array([duplicates.signature(duplicates.grams(text)) for text in texts])
    again = duplicates.find(signatures, np.arange(len(texts), dtype=np.uint64))
    assert all(code == "near_duplicate" and first == later - len(long) for later, (code, first) in again.items())
    assert len(again) >= 0.9 * len(changed)


HALVED = {
    "同事／朋友都躲着我": "同事/朋友都躲着我",
    "我发了＃今天也累＃": "我发了#今天也累#",
    "评论里全是＊＊": "评论里全是**",
    "写着［忍住］和｛随你｝": "写着[忍住]和{随你}",
    "付出＋等待＝落空": "付出+等待=落空",
    "他说＂随便＂": '他说"随便"',
    "Ｌ＆Ｍ，２．５％": "L&M，2.5%",
}


@pytest.mark.parametrize("text, after", HALVED.items())
def test_full_width_signs_become_ascii(text, after):
    assert repaired(text) == (after, ["fullwidth_ascii"])


@pytest.mark.parametrize(
    "text", ["为什么？！（算了）；好～：唉，", "《｜重点｜》", "北京－上海", "玛丽．安", "￥88，16℃，①"]
)
def test_signs_of_chinese_stay_wide(text):
    assert repaired(text) == (text, [])


HIDDEN = [
    "\U000e0061\U000e0062",
    "\u034f",
    "\u3164",
    "\uffa0",
    "\u115f",
    "\ufffc",
    "\ufe0f",
    "\u180b",
    "\U000e0101",
    "\ufdd0",
]


@pytest.mark.parametrize("hidden", HIDDEN, ids=ascii)
def test_what_cannot_be_seen_goes(hidden):
    assert repaired(f"我{hidden}在想") == ("我在想", ["control_chars"])


@pytest.mark.parametrize(
    "text", ["❤️1️⃣", "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "👨‍👩‍👧", "©️㊗️"]
)
def test_emoji_keep_what_makes_them(text):
    assert repaired(f"看{text}了") == (f"看{text}了", [])


MAILS = [
    "yang(at)163.com",
    "song[at]126.com",
    "lin （at） qq.com",
    "li.na AT gmail dot com",
    "wu at 163.com",
    "zhao(at)sina(dot)com(dot)cn",
    "he艾特qq点com",
    "gao#163.com",
    "ma @ 163.com",
    "fang@qq。com",
]


@pytest.mark.parametrize("mail", MAILS)
def test_a_mail_address_is_masked_however_it_is_hidden(mail):
    assert repaired(f"寄到{mail}，谢谢") == ("寄到[邮箱]，谢谢", ["pii_email"])


NUMBERS = {
    "QQ号：234 567 891": "QQ号：[QQ号]",
    "扣扣：3 4 5 6 7 8 9 1": "扣扣：[QQ号]",
    "QQ是三五二七一九四八": "QQ是[QQ号]",
    "110101 190001 010014": "[身份证号]",
    "11 0101 1900 0101 0014": "[身份证号]",
    "1 1 0 1 0 1 1 9 0 0 0 1 0 1 0 0 1 4": "[身份证号]",
    "一一零一零一一九零零零一零一零零一四": "[身份证号]",
    "总机010-80000006转608": "总机[电话号码]",
    "010-80000006 转分机 608": "[电话号码]",
    "1-3-9-0-0-0-0-0-0-0-2": "[手机号]",
    "139 0000 0002 139 0000 0003": "[手机号] [手机号]",
    "0591 8000 0006 0591 8000 0007": "[电话号码] [电话号码]",
}


@pytest.mark.parametrize("text, after", NUMBERS.items())
def test_numbers_are_masked_however_they_are_grouped(text, after):
    assert repaired(f"记下{text}，好吗")[0] == f"记下{after}，好吗"


KEPT = [
    "QQ 2019 05 12 加的",
    "QQ号 2 3 都忘了",
    "look at this，他说",
    "我C#学了163天",
    "公司总机010-80000006",
    "心理援助热线010-80000006转1",
    "110101 190013 010014",
    "6222 0940 2481 5089 796",
    "微信上聊了三四五六七八次",
    "把 icon@2x.png 发我",
]


@pytest.mark.parametrize("text", KEPT)
def test_what_only_looks_like_a_number_of_somebody_stays(text):
    assert repaired(f"我记得{text}，你呢") == (f"我记得{text}，你呢", [])


WEB = ["http：//www.abc.com/d", "https ：／／abc.cn", "www。abc。com", "abc点com", "hxxp://abc.cn/e"]
NO_WEB = ["什么点康姆", "讲 http 协议", "三点com我就醒", "看main.py和a.docx", "算了...你忙吧...ok"]


@pytest.mark.parametrize("text, is_one", [*((t, True) for t in WEB), *((t, False) for t in NO_WEB)])
def test_web_addresses_are_found_however_they_are_hidden(text, is_one):
    assert addresses.has_url(f"我看了{text}。") is is_one


SIMPLE = {
    "那句“頑張って”，现在听到只想哭": None,
    "他说「會いたい」就走了": None,
    "毎日會社に行くのがつらいです": None,
    "他留言說：「謝謝你」": "他留言说：「谢谢你」",
    "她說「愛してる」，我卻沒有回": "她说「愛してる」，我却没有回",
    "這是真の愛": "这是真の爱",
    "他说“사랑해”，我沒聽懂": "他说“사랑해”，我没听懂",
}


@pytest.mark.parametrize("text, after", SIMPLE.items())
def test_japanese_and_korean_are_not_simplified(text, after):
    assert cleaning.simplified(text) == (after or text)
