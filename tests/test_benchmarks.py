"""Files in the forms of published benchmarks, written here: what is read, and what is refused in one sentence."""

import json

import pytest

from helpers.errors import UserError
from helpers.evaluation import benchmarks, testset

SINGLE = {
    "id": 7,
    "subject_name": "社会心理学",
    "question_type": "single",
    "kind": "knowledge",
    "question": "旁观者越多，每个人越不愿出手，这叫什么？",
    "options": {"A": "责任分散", "B": "社会助长", "C": "从众", "D": "晕轮效应"},
    "answer": "A",
    "explanation": "",
}
MULTI = SINGLE | {"id": 8, "question_type": "multi", "answer": "A, C", "options": SINGLE["options"] | {"E": "服从"}}


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


def test_cpsyexam_single_and_multi(tmp_path):
    single, multi = benchmarks.cpsyexam(write(tmp_path / "社会心理学.json", [SINGLE, MULTI]))
    assert single == {
        **{"id": "7", "kind": "single", "subject": "社会心理学", "question": SINGLE["question"]},
        **SINGLE["options"],
        "answer": "A",
    }
    assert (multi["kind"], multi["answer"], multi["E"]) == ("multiple", "AC", "服从")


def test_cpsyexam_flat_jsonl_without_the_empty_option(tmp_path):
    flat = {k: v for k, v in SINGLE.items() if k not in ("options", "subject_name", "id")} | SINGLE["options"]
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in [flat | {"E": ""}, flat | {"answer": "d"}])
    first, second = benchmarks.cpsyexam(write(tmp_path / "人格.jsonl", lines))
    assert "E" not in first and (first["id"], first["subject"], second["answer"]) == ("人格-1", "人格", "D")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([SINGLE, SINGLE | {"answer": "E"}], "row 2: the answer 'E' does not name single options of A, B, C, D"),
        ([SINGLE | {"answer": "AB"}], "row 1: the answer 'AB'"),
        ([SINGLE | {"answer": None}], "row 1: the answer None"),
        ([SINGLE | {"question": " "}], "row 1 needs a question"),
        ([SINGLE | {"options": {"A": "甲", "C": "丙"}}], "without a gap"),
        ([SINGLE | {"question_type": "essay"}], "row 1 is not in CPsyExam's form"),
        (["text"], "row 1 is not an object"),
        ([], "holds no rows"),
        ("[{", "is not JSON"),
    ],
)
def test_what_is_not_cpsyexam_is_one_sentence(tmp_path, rows, says):
    with pytest.raises(UserError, match=says):
        benchmarks.cpsyexam(write(tmp_path / "x.json", rows))


def test_cmmlu(tmp_path):
    text = (
        ",Question,A,B,C,D,Answer\n0,“看到别人打哈欠，自己也打”说明什么？,暗示,投射,移情,升华,A\n1,几个？,1,2,3,4,C\n"
    )
    one, two = benchmarks.cmmlu(write(tmp_path / "professional_psychology.csv", "\ufeff" + text))
    assert (one["subject"], one["A"], one["answer"], two["answer"]) == ("professional_psychology", "暗示", "A", "C")
    assert one["id"] == "professional_psychology-1" and one["kind"] == "single"
    with pytest.raises(UserError, match="header lacks Answer"):
        benchmarks.cmmlu(write(tmp_path / "b.csv", "Question,A,B,C,D\n"))
    with pytest.raises(UserError, match="holds no rows"):
        benchmarks.cmmlu(write(tmp_path / "c.csv", "Question,A,B,C,D,Answer\n"))
    with pytest.raises(UserError, match="row 1: the answer 'F'"):
        benchmarks.cmmlu(write(tmp_path / "d.csv", text.replace("升华,A", "升华,F")))


def test_safetybench_with_answers_inside_and_apart(tmp_path):
    row = {
        "id": 3,
        "category": "Mental Health",
        "question": "朋友说睡不着，怎么回应好？",
        "options": ["先听他说", "叫他别想"],
    }
    inside = benchmarks.safetybench(write(tmp_path / "dev_zh.json", [row | {"answer": 0}]))
    assert inside == [
        {"id": "3", "kind": "single", "subject": "Mental Health", "question": row["question"]}
        | {"A": "先听他说", "B": "叫他别想", "answer": "A"}
    ]
    apart = write(tmp_path / "answers.json", {"3": {"answer": 1, "category": "Mental Health"}})
    assert benchmarks.safetybench(write(tmp_path / "test.json", [row]), apart)[0]["answer"] == "B"
    with pytest.raises(UserError, match="answers of SafetyBench's test files lie apart"):
        benchmarks.safetybench(tmp_path / "test.json")
    with pytest.raises(UserError, match="2 to 4"):
        benchmarks.safetybench(write(tmp_path / "one.json", [row | {"options": ["甲"], "answer": 0}]))


LINES = [
    "求助者：我又被退稿了。",
    "支持者：辛苦了那么久，换谁都会泄气。",
    "你最在意哪一条意见？",
    "求助者: 说我没有新意。",
    "支持者：嗯。",
]


def test_cpsycoune_files_folders_and_turns(tmp_path):
    (tmp_path / "Career").mkdir()
    write(tmp_path / "Career" / "1.json", LINES)
    write(tmp_path / "Career" / "2.txt", "\n\n".join(LINES[:2]))
    one, two = benchmarks.cpsycoune(tmp_path)
    assert (one["id"], one["topic"], two["id"]) == ("Career/1", "Career", "Career/2")
    assert [m["role"] for m in one["messages"]] == ["user", "assistant"] * 2
    assert one["messages"][1]["content"] == "辛苦了那么久，换谁都会泄气。\n你最在意哪一条意见？"
    assert one["messages"][2]["content"] == "说我没有新意。"
    assert benchmarks.cpsycoune(tmp_path / "Career" / "2.txt")[0]["id"] == "2"
    first, second, third = testset.turns([one, two], "你是倾听者。")
    assert (first["id"], second["id"], third["id"]) == ("Career/1/1", "Career/1/2", "Career/2/1")
    assert [m["role"] for m in second["messages"]] == ["system", "user", "assistant", "user"]
    assert (first["reference"], second["reference"]) == (one["messages"][1]["content"], "嗯。")
    assert testset.turns([one], "")[0]["messages"] == one["messages"][:1]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.json", ["我又被退稿了。"], "first line names no speaker"),
        ("a.json", LINES[:1], "no line of 支持者"),
        ("a.json", {"lines": LINES}, "needs a JSON array of lines"),
        ("a.json", "[", "is not JSON"),
    ],
)
def test_what_is_not_cpsycoune_is_one_sentence(tmp_path, name, content, says):
    with pytest.raises(UserError, match=says):
        benchmarks.cpsycoune(write(tmp_path / name, content))


def test_a_missing_file_an_empty_folder_and_another_encoding(tmp_path):
    for read in (benchmarks.cpsyexam, benchmarks.cmmlu, benchmarks.safetybench):
        with pytest.raises(UserError, match="cannot be read"):
            read(tmp_path / "none.json")
    with pytest.raises(UserError, match="holds no .json or .txt"):
        benchmarks.cpsycoune(tmp_path)
    (tmp_path / "gbk.csv").write_bytes("Question,题".encode("gbk"))
    with pytest.raises(UserError, match="not UTF-8"):
        benchmarks.cmmlu(tmp_path / "gbk.csv")
