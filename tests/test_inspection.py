"""Inspection: each code on the dirty file with its key, whole or not at all, any bytes, the same again."""

import gzip
import json
import os
import random
import re
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from helpers.errors import UserError
from helpers.inspection import (
    CODES,
    OUTPUTS,
    actions,
    cleaning,
    duplicates,
    examples,
    forms,
    inspect,
    lexicon,
    mojibake,
    personal_data,
    topics,
)
from helpers.profile import ROOT

DATA = ROOT / "data"
GOOD = {
    "conversations": [
        {"from": "human", "value": "搬家以后我总睡不好。"},
        {"from": "gpt", "value": "新屋子的夜里，你听见的是什么？"},
    ]
}


def lines(path):
    return [json.loads(x) for x in path.read_text(encoding="utf-8").split("\n") if x]


def found(out) -> dict[int, set[str]]:
    """Codes for each line, from the files that an inspection wrote."""
    codes: dict[int, set[str]] = {}
    for row in lines(out / "quarantine.jsonl"):
        codes.setdefault(row["line"], set()).update(row["reasons"])
    for row in lines(out / "flags.jsonl"):
        codes.setdefault(row["line"], set()).update(row["flags"])
    for row in lines(out / "repairs.jsonl"):
        codes.setdefault(row["line"], set()).update(r["code"] for r in row["repairs"])
    return codes


def run(tmp_path, content: bytes, name="rows.jsonl", **more) -> dict:
    (tmp_path / name).write_bytes(content)
    return inspect([tmp_path / name], tmp_path / "out", **more)


def jsonl(*rows) -> bytes:
    return "".join((r if isinstance(r, str) else json.dumps(r, ensure_ascii=False)) + "\n" for r in rows).encode()


@pytest.fixture(scope="module")
def dirty(tmp_path_factory):
    """The inspected dirty file, and its key."""
    out = tmp_path_factory.mktemp("dirty") / "out"
    prompts = [DATA / "quiz.jsonl", DATA / "safety.jsonl"]
    report = inspect([DATA / "dirty" / "dirty.jsonl"], out, DATA / "val.jsonl", prompts)
    return report, out, lines(DATA / "dirty" / "dirty_key.jsonl")


@pytest.mark.parametrize("code", CODES)
def test_recall_and_precision_on_the_dirty_file(dirty, code):
    _, out, key = dirty
    planted = {k["line"] for k in key if code in k["codes"]}
    seen = {line for line, codes in found(out).items() if code in codes}
    assert len(planted) >= 5 and sum(code in (k["near_miss_of"] or ()) for k in key) >= 5
    assert len(planted & seen) >= 0.98 * len(planted), planted - seen
    assert len(planted & seen) >= 0.98 * len(seen), seen - planted


def test_every_row_is_accounted_for_and_the_original_is_untouched(dirty):
    report, out, key = dirty
    source = (DATA / "dirty" / "dirty.jsonl").read_bytes().decode().removesuffix("\n").split("\n")
    kept, held = lines(out / "clean.jsonl"), lines(out / "quarantine.jsonl")
    assert report["rows_in"] == len(key) == report["kept"] + report["quarantined"] == len(kept) + len(held)
    assert sorted(r["line"] for r in kept + held) == list(range(1, len(key) + 1))
    assert all(r["row"] == source[r["line"] - 1] for r in held)
    assert sorted(p.name for p in out.iterdir()) == sorted(OUTPUTS)
    assert all(r["same_as"] for r in held if set(r["reasons"]) & {"duplicate", "near_duplicate", "contamination"})


def test_a_second_inspection_of_the_clean_rows_changes_nothing(dirty, tmp_path):
    _, out, _ = dirty
    report = inspect([out / "clean.jsonl"], tmp_path / "again", DATA / "val.jsonl")
    assert report["quarantined"] == 0 and not (tmp_path / "again" / "repairs.jsonl").read_bytes()
    assert (tmp_path / "again" / "clean.jsonl").read_bytes() == (out / "clean.jsonl").read_bytes()


@pytest.mark.parametrize("name", ["train.jsonl", "val.jsonl"])
def test_no_shipped_dialogue_is_quarantined_or_repaired(name, tmp_path):
    report = inspect([DATA / name], tmp_path / "out")
    assert report["quarantined"] == 0 and not (tmp_path / "out" / "repairs.jsonl").read_bytes()


@pytest.mark.parametrize(
    "said, is_one",
    [
        ("我想死，没人懂我。", True),
        ("我真的不想活了。", True),
        ("想死你了，快回来。", False),
        ("笑死我了，这个视频你一定要看。", False),
        ("我没有想死，只是想请一天假。", False),
        ("电影里的女主角最后自杀了，我哭了一晚上。", False),
    ],
)
def test_crisis_reads_the_words_in_their_context(said, is_one):
    assert lexicon.crisis([said], ["嗯，我在听。"]) is is_one


@pytest.mark.parametrize("code", ["crisis", "medication", "diagnosis"])
def test_wordings_of_many_speakers(code):
    """Our own wordings: the rules were written with them in view, so they guard and do not measure."""
    hits = Counter()
    for case in (c for c in lines(examples.LEARN) if c["by"] == examples.OURS and c["code"] == code):
        said = case["text"]
        hit = lexicon.crisis([said], ["嗯，我在听。"]) if code == "crisis" else getattr(lexicon, code)([said])
        hits[case["is_one"], hit] += 1
    assert hits[True, True] >= 0.95 * (hits[True, True] + hits[True, False])
    assert hits[True, True] >= 0.95 * (hits[True, True] + hits[False, True])


def test_crisis_finds_the_shipped_dialogues_marked_with_risk():
    hits = Counter()
    for row in lines(DATA / "train.jsonl") + lines(DATA / "val.jsonl"):
        sides = [[t["value"] for t in row["conversations"] if t["from"] == who] for who in ("human", "gpt")]
        hits[row["risk"], topics.crisis(*sides)] += 1
    assert hits[True, True] >= 0.95 * (hits[True, True] + hits[True, False])
    assert hits[True, True] >= 0.90 * (hits[True, True] + hits[False, True])


FORMS = [
    {"conversation": [{"from": "human", "value": "问"}, {"from": "gpt", "value": "我在听，你慢慢说吧。"}]},
    {"conversations": [{"role": "user", "content": "问"}, {"role": "assistant", "content": "我在听，你慢慢说吧。"}]},
    {"conversations": [{"from": "user", "value": "问"}, {"from": "assistant", "value": "我在听，你慢慢说吧。"}]},
    {"conversation": [{"system": "你是倾听者。", "input": "问", "output": "我在听，你慢慢说吧。"}]},
    {"instruction": "问", "input": "", "output": "我在听，你慢慢说吧。"},
    {"system": "你是倾听者。", "conversation": [{"human": "问", "assistant": "我在听，你慢慢说吧。"}]},
    {"system": "你是倾听者。", "query": "问", "response": "我在听，你慢慢说吧。", "history": []},
]


@pytest.mark.parametrize("form", FORMS)
def test_forms_become_the_same_messages(tmp_path, form):
    run(tmp_path, jsonl(form))
    (row,) = lines(tmp_path / "out" / "clean.jsonl")
    spoken = [m for m in row["messages"] if m["role"] != "system"]
    assert spoken == [{"role": "user", "content": "问"}, {"role": "assistant", "content": "我在听，你慢慢说吧。"}]


def test_a_turn_may_have_fields_named_like_those_of_another_form(tmp_path):
    said = [{"from": "human", "value": "问", "user": "u17"}, {"from": "gpt", "value": "我在听，你慢慢说吧。"}]
    assert run(tmp_path, jsonl({"conversations": said}))["kept"] == 1


def test_a_history_that_is_no_list_is_no_dialogue(tmp_path):
    run(tmp_path, jsonl({"instruction": "问", "output": "我在听，你慢慢说吧。", "history": 5}))
    assert lines(tmp_path / "out" / "quarantine.jsonl")[0]["reasons"] == ["schema"]


def test_an_exchange_without_its_reply_waits_for_one(tmp_path):
    run(tmp_path, jsonl({"conversation": [{"human": "问", "assistant": "我在听，你慢慢说吧。"}, {"human": "还有"}]}))
    assert lines(tmp_path / "out" / "quarantine.jsonl")[0]["reasons"] == ["no_reply"]


def test_two_byte_order_marks_go_as_one_does(tmp_path):
    assert run(tmp_path, b"\xef\xbb\xbf\xef\xbb\xbf" + jsonl(GOOD))["kept"] == 1
    assert found(tmp_path / "out") == {1: {"bom"}}


def test_a_system_prompt_beside_the_turns_is_kept(tmp_path):
    said = [{"from": "human", "value": "问"}, {"from": "gpt", "value": "我在听，你慢慢说吧。"}]
    run(tmp_path, jsonl({"system": "你是倾听者。", "conversations": said}))
    (row,) = lines(tmp_path / "out" / "clean.jsonl")
    assert row["messages"][0] == {"role": "system", "content": "你是倾听者。"}


def test_a_system_turn_without_a_word_is_an_empty_turn(tmp_path):
    said = [{"from": "human", "value": "问"}, {"from": "gpt", "value": "我在听，你慢慢说吧。"}]
    run(tmp_path, jsonl({"conversations": [{"from": "system", "value": "\u3000"}, *said]}))
    assert lines(tmp_path / "out" / "quarantine.jsonl")[0]["reasons"] == ["empty_turn"]


PACKED = {
    "array": json.dumps([GOOD, GOOD | {"id": 2}], ensure_ascii=False, indent=1).encode(),
    "one line": json.dumps([GOOD, GOOD], ensure_ascii=False).encode(),
    "gzip": gzip.compress(jsonl(GOOD, GOOD)),
    "byte order mark": b"\xef\xbb\xbf" + jsonl(GOOD, GOOD),
    "gb18030": jsonl(GOOD, GOOD).decode().encode("gb18030"),
    "gb18030 array": json.dumps([GOOD, GOOD], ensure_ascii=False).encode("gb18030"),
    "utf-16": jsonl(GOOD, GOOD).decode().encode("utf-16"),
    "no line feed at the end": jsonl(GOOD, GOOD).removesuffix(b"\n"),
}


@pytest.mark.parametrize("content", PACKED.values(), ids=PACKED)
def test_files_come_in_many_forms(tmp_path, content):
    report = run(tmp_path, content)
    assert (report["rows_in"], report["kept"]) == (2, 1)
    assert lines(tmp_path / "out" / "quarantine.jsonl")[0]["reasons"] == ["duplicate"]


def test_gb18030_is_detected_and_said(tmp_path):
    report = run(tmp_path, jsonl(GOOD).decode().encode("gb18030"))
    assert report["encodings"] == {"rows.jsonl": {"gb18030": 1}}


def test_an_array_with_a_broken_element_goes_on_after_it(tmp_path):
    good, other = json.dumps(GOOD, ensure_ascii=False), json.dumps(FORMS[0], ensure_ascii=False)
    report = run(tmp_path, f'[{good}, {{"conversations": [}}, {other}]'.encode())
    assert (report["rows_in"], report["kept"]) == (3, 2)


def test_a_short_word_of_mojibake_is_mended_too():
    text = "医生，我最近总觉得很痛苦。"
    assert mojibake.repair(text.replace("医生", "医生".encode().decode("gbk"))) == (text, False)


@pytest.mark.parametrize("word", ["Café", "450€", "£200", "😢", "——"])
def test_a_misread_word_among_sound_chinese_is_mended(word):
    text = f"那天{word}的事，我一直记得。"
    broken = text.replace(word, word.encode().decode("cp1252"))
    assert mojibake.repair(broken) == (text, False) and mojibake.repair(text) == (text, False)


@pytest.mark.parametrize("codec", ["cp1252", "cp1254", "latin-1", "gbk"])
def test_mojibake_is_undone_or_said_to_be_lost(codec):
    for row in lines(DATA / "val.jsonl"):
        for text in (t["value"] for t in row["conversations"]):
            try:
                broken = text.encode().decode(codec)
            except UnicodeDecodeError:
                lossy = text.encode().decode(codec, "ignore")
                assert mojibake.repair(lossy)[1] or mojibake.repair(lossy)[0] == text
                continue
            assert mojibake.repair(broken) == (text, False)
            assert mojibake.repair(text) == (text, False)


KEPT = [
    "12356",
    "400-161-9995",
    "110",
    "心理援助热线010-82951332",
    "学号13800000001",
    "2023-11-05",
    "微信运动23456步",
    "QQ等级108级",
]


@pytest.mark.parametrize("text", KEPT)
def test_hotlines_and_other_numbers_are_not_masked(text):
    for mask in personal_data.MASKS.values():
        assert mask(f"我记得{text}，你呢") == f"我记得{text}，你呢"


MASKED = {
    "13900000002": "[手机号]",
    "+86 139-0000-0002": "[手机号]",
    "010-80000006": "[电话号码]",
    "110101190001010014": "[身份证号]",
    "6222000000000017": "[银行卡号]",
    "li_si@example.com": "[邮箱]",
    "微信：moon_fake_02": "微信：[微信号]",
    "V信同名，就是moon_fake_02": "V信同名，就是[微信号]",
    "QQ123456789": "QQ[QQ号]",
    "微❤：moon_fake_02": "微❤：[微信号]",
    "卫星 moon_fake02": "卫星 [微信号]",
    "🐧123456789": "🐧[QQ号]",
    "6222 - 0000 - 0000 - 0017": "[银行卡号]",
    "tel13900000002": "tel[手机号]",
    "1390 0000 002": "[手机号]",
    "：李四@例子.中国": "：[邮箱]",
}


@pytest.mark.parametrize("text, after", MASKED.items())
def test_personal_data_is_masked_in_chinese(text, after):
    masked = f"记下{text}，别忘了"
    for mask in personal_data.MASKS.values():
        masked = mask(masked)
    assert masked == f"记下{after}，别忘了"


def test_simplified_text_stays_as_it_is():
    text = "我姓於，在乾隆花园看著名的瞭望台，皇后饿了，干净的面条走了三公里，那么九个。"
    assert cleaning.simplified(text) == text and cleaning.simplified("我們看著窗外") == "我们看着窗外"


def test_minhash_estimates_the_jaccard_similarity():
    dice = random.Random(1)
    text = "".join(chr(dice.randrange(0x4E00, 0x9FA5)) for _ in range(800))
    changed = text[:600] + "".join(chr(dice.randrange(0x4E00, 0x9FA5)) for _ in range(200))
    a, b = map(duplicates.grams, (text, changed))
    exact = len(set(a.tolist()) & set(b.tolist())) / len(set(a.tolist()) | set(b.tolist()))
    assert abs((duplicates.signature(a) == duplicates.signature(b)).mean() - exact) < 0.12


def test_other_processes_find_the_same(tmp_path, monkeypatch):
    from helpers.inspection import files

    one = inspect([DATA / "train.jsonl"], tmp_path / "one")
    monkeypatch.setattr(files, "IN_PROCESS", 10)
    monkeypatch.setattr(files, "CHUNK", 50)
    two = inspect([DATA / "train.jsonl"], tmp_path / "two", workers=2)
    assert one["codes"] == two["codes"]
    for name in OUTPUTS[:-1]:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_profile_can_change_an_action(tmp_path):
    content = jsonl(GOOD, GOOD)
    assert run(tmp_path, content, overrides={"duplicate": "flag"})["kept"] == 2
    assert lines(tmp_path / "out" / "flags.jsonl")[0]["flags"] == ["duplicate"]
    with pytest.raises(UserError, match="bad_json cannot be 'off'"):
        actions({"bad_json": "off"})
    with pytest.raises(UserError, match="no code 'bad_jsn'"):
        actions({"bad_jsn": "off"})


def test_a_failure_leaves_the_earlier_output_and_nothing_half_written(tmp_path, monkeypatch):
    from helpers.inspection import report

    run(tmp_path, jsonl(GOOD))
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    monkeypatch.setattr(report, "complete", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, jsonl(GOOD, GOOD))
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("content, sentence", [(b"", "is empty"), (b"\x1f\x8b\x08\x00broken", "broken gzip file")])
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path, content, sentence):
    with pytest.raises(UserError, match=sentence):
        run(tmp_path, content)


def test_what_is_no_readable_file_is_one_sentence(tmp_path, monkeypatch):
    from helpers.inspection import reading

    def sentence(path):
        with pytest.raises(UserError) as said:
            inspect([path], tmp_path / "out")
        assert not (tmp_path / "out").exists() and "\n" not in str(said.value)
        return str(said.value)

    assert sentence(tmp_path / "missing.jsonl").endswith(
        "missing.jsonl does not exist; give the path of a ShareGPT file."
    )
    assert "is a folder" in sentence(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "is no ordinary file" in sentence(tmp_path / "pipe")
    (tmp_path / "locked.jsonl").write_bytes(jsonl(GOOD))

    def refused(path, *_):  # root may read a file of any mode, so the refusal is played
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(reading, "_opened", refused)
    assert "locked.jsonl cannot be read (Permission denied)" in sentence(tmp_path / "locked.jsonl")


def test_names_of_speakers_are_known_in_any_case_and_with_marks():
    names = {
        "user": "User HUMAN: user_1 ｕｓｅｒ 【来访者】 client 求助者：",
        "assistant": "ASSISTANT gpt-4o Bot AI 咨询师 model Doctor",
    }
    for role, spellings in names.items():
        assert [forms.speaker(name) for name in spellings.split()] == [role] * len(spellings.split())
    assert [forms.speaker(name) for name in ("narrator", "旁白", "主持人", "", None, 3, ["user"])] == [None] * 7


def test_a_thousand_lines_of_random_bytes(tmp_path):
    content = b"\n".join(random.Random(3).randbytes(80).replace(b"\n", b"") for _ in range(1000))
    report = run(tmp_path, content)
    assert report["rows_in"] == report["quarantined"] == 1000


TEXT = st.text(max_size=40) | st.sampled_from(
    ["你好，我在听。", "Ã¤Â½Â", "é”…", "\ud800", "ＫＰＩ \u200b", "13900000002", "錒於"]
)
TURN = st.fixed_dictionaries({"from": st.sampled_from(["human", "gpt", "user", "x"]), "value": TEXT | st.none()})
ROW = st.fixed_dictionaries({"conversations": st.lists(TURN, max_size=5)}).map(json.dumps)
FILES = st.binary(max_size=300) | st.lists(ROW | st.text(max_size=20), max_size=6).map(
    lambda rows: "\n".join(rows).encode("utf-8", "surrogatepass")
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(FILES)
@example(b"[[[[")
@example(b'[{"conversations": 1}')
@example(b"\xff\xfe\x00")
@example(b"9" * 5000)
@example(b"[" * 100_000)
@example(b"\xef\xbb\xbf")
def test_any_bytes_are_accounted_for_and_a_second_time_changes_nothing(content):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        try:
            report = run(folder, content)
        except UserError:
            return
        clean, held = lines(folder / "out" / "clean.jsonl"), lines(folder / "out" / "quarantine.jsonl")
        assert report["rows_in"] == len(clean) + len(held) == report["kept"] + report["quarantined"]
        if clean:
            again = inspect([folder / "out" / "clean.jsonl"], folder / "again")
            assert again["quarantined"] == 0 and not (folder / "again" / "repairs.jsonl").read_bytes()
            same = [(folder / d / "clean.jsonl").read_bytes() for d in ("out", "again")]
            assert same[0] == same[1]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_repairs_find_nothing_in_what_they_have_repaired(text):
    from helpers.inspection import row

    once = row.repaired(text, actions())[0]
    assert row.repaired(once, actions())[0] == once


def test_the_page_names_every_code():
    page = (ROOT / "book" / "how_to_use.md").read_text(encoding="utf-8")
    assert not [code for code in CODES if not re.search(rf"`{code}`", page)]


def test_packing_is_what_ms_swift_itself_packs():
    from helpers.inspection import report, upstream

    dice = random.Random(5)
    lengths = [dice.randint(40, 3200) for _ in range(2300)]  # some too long, and more than two of its batches
    ours, theirs = report.packing(lengths, 3072), upstream.packed(lengths, 3072)
    assert (ours["sequences"], ours["dialogues"]) == (len(theirs), sum(map(len, theirs)))
    assert ours["fill"] == round(sum(map(sum, theirs)) / (3072 * len(theirs)), 4)
