"""Write dirty.jsonl, a ShareGPT file whose every defect is known, and dirty_key.jsonl, its key.

Standard library only; the same inputs give the same bytes. dirty_base.jsonl holds the dialogues, written by hand, one a line:
  codes  what is planted        near  codes which must NOT fire      note  what was planted, for the key
  turns  [[speaker, text], …]   op    what this script does to the row, "name:argument:argument"
  tag    a name for the row     copy  the row is a changed copy of that tag; v0 … v4 are rows of --val
The key has one row for each physical line (lines end at LF only): {"line", "codes", "near_miss_of", "note"}.
"""

import argparse
import json
import random
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent


# ---- numbers of nobody: resident IDs and bank cards, with computed check digits ----
def id_check(d17):
    return "10X98765432"[sum(int(c) * 2 ** (17 - i) for i, c in enumerate(d17)) % 11]


def luhn(digits):
    return sum(sum(divmod(int(c) * (1 + i % 2), 10)) for i, c in enumerate(reversed(digits))) % 10 == 0


def number(match):
    """{id 17 digits}: with check digit; ids: in groups; badid: wrong digit; idx, idl: ends in X, x; card, card4, card-: Luhn; badcard."""
    kind, d = match[1], match[2]
    if "card" in kind:
        d += next(c for c in "0123456789" if luhn(d + c) != (kind == "badcard"))
        return {"card4": " ", "card-": "-"}.get(kind, "").join(re.findall(".{1,4}", d))
    if kind in ("idx", "idl"):  # the first sequence number whose check digit is X
        d = next(d + f"{s:03}" for s in range(1, 999) if id_check(d + f"{s:03}") == "X")
    check = id_check(d)
    d += str((int(check) + 3) % 10) if kind == "badid" else check.lower() if kind == "idl" else check
    return f"{d[:6]} {d[6:14]} {d[14:]}" if kind == "ids" else d


# ---- damage to one text ----
def misread(text, codec):
    """UTF-8 bytes read as `codec`; a byte it leaves undefined becomes a C1 control, as in browsers, so nothing is lost."""

    def one(byte):
        try:
            return bytes([byte]).decode(codec)
        except UnicodeDecodeError:
            return chr(byte)

    return "".join(map(one, text.encode()))


def dropped(text, codec, also=""):
    """The same with the C1 controls gone: bytes are lost for good."""
    broken = re.sub(f"[\x80-\x9f{also}]", "", misread(text, codec))
    assert len(broken) < len(text.encode()), text
    return broken


TEXT_OPS = {  # name: function of the text and the op's second argument; the first says which turn
    "cp1252": lambda t, a: misread(t, "cp1252"),
    "cp1254": lambda t, a: misread(t, "cp1254"),
    "latin1": lambda t, a: misread(t, "latin-1"),
    "latin1_twice": lambda t, a: misread(misread(t, "latin-1"), "latin-1"),
    "gbk": lambda t, a: t.encode().decode("gbk"),  # strict: raises where a byte would be lost
    "latin1_sentence": lambda t, a: re.sub("^.*?。", lambda m: misread(m[0], "latin-1"), t),
    "drop_cp1252": lambda t, a: dropped(t, "cp1252"),
    "drop_cp1254": lambda t, a: dropped(t, "cp1254"),
    "drop_c1": lambda t, a: dropped(t, "latin-1"),
    "drop_cp1254_ad": lambda t, a: dropped(t, "cp1254", "\xad"),
    "gbk_replace": lambda t, a: t.encode().decode("gbk", "replace"),
    "question_marks": lambda t, a: t.encode("ascii", "replace").decode(),
    "fffd": lambda t, a: re.sub("(..).", "\\1\ufffd", t),
    "kuntao": lambda t, a: t[:4] + ("\ufffd" * 2 * (len(t) // 2 - 2)).encode().decode("gbk"),
    "insert": lambda t, a: a.join([t[: len(t) // 3], t[len(t) // 3 : -5], t[-5:]]),
    "ansi": lambda t, a: f"\x1b[31m{t}\x1b[0m",
    "fullwidth": lambda t, a: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in t),
    "trail": lambda t, a: t + a,
    "bom_value": lambda t, a: "\ufeff" + t,
    "bom_middle": lambda t, a: "\ufeff".join([t[:9], t[9:]]),
    "empty": lambda t, a: "",
    "blank": lambda t, a: "   ",
    "newlines": lambda t, a: "\n\n",
    "ideographic": lambda t, a: "\u3000" * 3,
    "zero_width": lambda t, a: "\u200b" * 2,
}


# ---- damage to the row's form; c is its conversations list ----
def emollm(row, c):
    del row["conversations"]
    row["conversation"] = [{"input": q["value"], "output": a["value"]} for q, a in zip(c[1::2], c[2::2])]
    row["conversation"][0] = {"system": c[0]["value"], **row["conversation"][0]}


def roles(row, c, human, gpt):
    for t in c:
        t["from"] = {"human": human, "gpt": gpt}[t["from"]].replace("_", " ")


def substitute(row, c, pairs):
    for old, new in (p.split("=") for p in pairs.split(";")):
        assert any(old in t["value"] for t in c), old
        for t in c:
            t["value"] = t["value"].replace(old, new)


def val_ending(row, c):
    c[-2]["value"] += "唉。"
    for t in c[1::2]:
        t["value"] = "！".join(t["value"].rsplit("。", 1))


ROW_OPS = {
    "no_conversations": lambda r, c: (r.pop("conversations"), r.update(source="forum", length=0)),
    "null_value": lambda r, c: c[1].update(value=None),
    "number_value": lambda r, c: c[0].update(value=85),
    "missing_value": lambda r, c: c[1].pop("value"),
    "unknown_from": lambda r, c: c[0].update({"from": "narrator"}),
    "dict_conversations": lambda r, c: r.update(conversations={t["from"]: t["value"] for t in c}),
    "string_turns": lambda r, c: r.update(conversations=[t["value"] for t in c]),
    "string_conversations": lambda r, c: r.update(conversations="".join(t["value"] for t in c)),
    "conversation_key": lambda r, c: r.update(conversation=r.pop("conversations")),
    "emollm": emollm,
    "roles": roles,
    "alpaca": lambda r, c: (
        r.pop("conversations"),
        r.update(instruction=c[0]["value"], input="", output=c[1]["value"]),
    ),
    "role_content": lambda r, c: r.update(
        conversations=[{"role": {"human": "user", "gpt": "assistant"}[t["from"]], "content": t["value"]} for t in c]
    ),
    "extra_keys": lambda r, c: r.update(score=4.5, tags=["约会"], meta={"pages": [1, 2], "reviewed": None}),
    "numeric_id": lambda r, c: r.update(id=int(r["id"][-4:])),
    "swap_roles": lambda r, c: roles(r, c, "gpt", "human"),
    "sub": substitute,
    "append": lambda r, c, texts: c.extend({"from": f, "value": v} for f, v in zip(("human", "gpt"), texts.split("|"))),
    "val_prefix": lambda r, c: c[1].update(value="嗯，" + c[1]["value"]),
    "val_greeting": lambda r, c: c[0].update(value="你好，" + c[0]["value"]),
    "val_word": lambda r, c: [t.update(value=t["value"].replace("我", "俺", 1)) for t in c[::2]],
    "val_ending": val_ending,
}


def ramble(turns, pool, where, length):
    """Make turns long: the pool's sentences again and again, each time with another day, hour, person and number."""
    slots = {
        "day": (3, [f"周{c}" for c in "一二三四五六日"]),
        "clock": (4, [f"{c}点" for c in "一两三四五六七八九十"] + ["十二点半"]),
        "clock2": (7, [f"{c}点半" for c in "一两三四五六七八九十"] + ["午夜"]),
        "who": (2, ["老周", "阿芳", "大刘", "小孟", "胖哥"]),
        "n": (5, "三四五六七八九"),
        "m": (3, [f"{a}十{b}" for b in "一三五七九" for a in "二三四五六八九"]),
    }
    step = 0
    for i in map(int, where.split(",")):
        while len(turns[i]["value"]) < int(length):
            turns[i]["value"] += pool[step % len(pool)].format(
                **{k: names[step * by % len(names)] for k, (by, names) in slots.items()}
            )
            step += 1


LINE_OPS = {  # damage to the written line
    "truncate": lambda s: s[: len(s) * 3 // 5],
    "single_quotes": lambda s: repr(json.loads(s)),
    "trailing_comma": lambda s: s.replace("}]}", "},]}"),
    "two_objects": lambda s: s + s.replace("dirty-", "dirty-b"),
    "bare_quote": lambda s: s.replace("“", '"').replace("”", '"'),
    "raw_newline": lambda s: s.replace("，", "，\n", 1),
    "comment": lambda s: s.replace('"conversations"', '/* checked */ "conversations"'),
    "plain_text": lambda s: "\t".join(t["value"] for t in json.loads(s)["conversations"]),
    "missing_brace": lambda s: s[:-1],
    "ascii_escapes": lambda s: json.dumps(json.loads(s)),
    "padded": lambda s: f"  {s}   ",
    "crlf": lambda s: s + "\r",
    "key_order": lambda s: json.dumps(
        dict(reversed(json.loads(s).items())), ensure_ascii=False, separators=(" ,  ", "  :  ")
    ),
    "list_row": lambda s: json.dumps([t["value"] for t in json.loads(s)["conversations"]], ensure_ascii=False),
    "bom_line": lambda s: "\ufeff" + s,
    "bom_file": lambda s: "\ufeff" + s,
}


def validation_rows(path):
    """The first ordinary row (no risk, no illness or medicine) of each of the first five topics which have one, in the file's order."""
    chosen = {}
    for row in map(json.loads, path.read_text(encoding="utf-8").strip().split("\n")):
        if not row.get("risk") and not re.search("药|诊断|症|死|活着|12356", str(row)):
            chosen.setdefault(row["topic"], row)
    assert len(chosen) >= 5, "--val needs five topics"
    return list(chosen.values())[:5]


def in_order(base):
    """A fixed shuffle: a copy comes after its original, the byte order mark of the file on line 1."""
    dice, place = random.Random(20), {}
    for b in base:
        original = b.get("copy") or b.get("op", "").partition("same_id:")[2]
        b["place"] = -1 if b.get("op") == "bom_file" else dice.uniform(place.get(original, 0), 1)
        place[b.get("tag")] = b["place"]
    return sorted(base, key=lambda b: b["place"])


def build(base, val):
    sources = {b["tag"]: b for b in base if "tag" in b}
    sources |= {
        f"v{i}": {"topic": v["topic"], "turns": [[t["from"], t["value"]] for t in v["conversations"]]}
        for i, v in enumerate(val)
    }
    lines, key, written = [], [], {}
    for b in in_order(base):
        op, *args = b.get("op", "none").split(":")
        source = sources[b["copy"]] if "copy" in b else b
        turns = []
        for speaker, text in source.get("turns", []):
            text = re.sub(
                r"\{val(\d)\}", lambda m: re.split("[，。？！…]", sources["v" + m[1]]["turns"][0][1])[0][:14], text
            )
            turns.append({"from": speaker, "value": re.sub(r"\{(\w+-?) (\d+)\}", number, text)})
        row = {"id": f"dirty-{len(lines) + 1:04}", "topic": source["topic"], "conversations": turns}
        if op in TEXT_OPS:
            for t in turns if args[:1] in ([], ["all"]) else [turns[int(args[0])]]:
                t["value"] = TEXT_OPS[op](t["value"], "".join(args[1:]))
        elif op in ROW_OPS:
            ROW_OPS[op](row, turns, *args)
        elif op == "ramble":
            ramble(turns, b["pool"], *args)
        elif op == "same_id":
            row["id"] = json.loads(written[args[0]])["id"]
        line = written[b["copy"]] if op == "same_line" else json.dumps(row, ensure_ascii=False)
        line = LINE_OPS.get(op, str)(line)
        written[b.get("tag")] = line
        for part in line.split("\n"):  # two where a raw line feed was planted
            lines.append(part)
            key.append({"line": len(lines), "codes": b["codes"], "near_miss_of": b["near"], "note": b["note"]})
    return lines, key


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--val", type=Path, default=HERE / "val.jsonl", help="validation file which the contamination rows repeat"
    )
    base = [json.loads(s) for s in (HERE / "dirty_base.jsonl").read_text(encoding="utf-8").strip().split("\n")]
    lines, key = build(base, validation_rows(parser.parse_args().val))
    (HERE / "dirty.jsonl").write_bytes("".join(s + "\n" for s in lines).encode())
    (HERE / "dirty_key.jsonl").write_bytes("".join(json.dumps(k, ensure_ascii=False) + "\n" for k in key).encode())
    print(f"{len(lines)} lines, {sum(bool(k['codes']) for k in key)} with a planted defect")
