"""The forms a dialogue comes in: ShareGPT, role and content, EmoLLM's, alpaca's. All become `messages`."""

import json

CANONICAL = {"from": {"human": "user", "gpt": "assistant"}, "role": {"user": "user", "assistant": "assistant"}}
ALIASES = {
    "user": "user human visitor client patient prompter questioner q seeker 用户 来访者 求助者 来访 患者 人类 "
    "提问者 学生 问 咨客 倾诉者 案主 当事人 访客 客户 学员 网友 提问 病人 求助人",
    "assistant": "assistant gpt chatgpt model bot ai bard bing claude llm answerer a counselor counsellor therapist "
    "psychologist doctor listener chatbot supporter 助手 咨询师 心理咨询师 倾听者 助理 医生 机器人 老师 答 治疗师 "
    "倾听师 辅导员 顾问 专家 心理专家 心理医生 心理老师 心理师 客服 小助手 智能助手 ai助手 回答 回答者",
    "system": "system 系统",
}
SPEAKERS = {alias: role for role, names in ALIASES.items() for alias in names.split()}


class Refused(ValueError):
    """A row in none of the forms; `code` says which rule it breaks."""

    def __init__(self, code: str):
        super().__init__(code)
        self.code = code


def parse(text: str) -> object:
    """The JSON value of a row's text.

    Raises:
        Refused: `bad_json`.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Refused("bad_json") from None


def messages(row: object) -> tuple[list[dict], list[dict]]:
    """Turns as `role` and `content`, and the `role_alias` repairs that this took.

    Raises:
        Refused: `schema`.
    """
    if not isinstance(row, dict):
        raise Refused("schema")
    turns = next((row[k] for k in ("conversations", "conversation", "messages") if k in row), None)
    if turns is None and isinstance(row.get("output"), str):
        return _alpaca(row), []
    if not isinstance(turns, list) or not turns or not all(isinstance(t, dict) for t in turns):
        raise Refused("schema")
    if "output" in turns[0] or "input" in turns[0]:
        return _emollm(turns), []
    result, repairs = [], []
    for place, turn in enumerate(turns):
        key = "from" if "from" in turn else "role"
        name, text = turn.get(key), turn.get("value", turn.get("content"))
        role = SPEAKERS.get(name.strip(" \t\n：:[]【】<>*").lower()) if isinstance(name, str) else None
        if role is None or not isinstance(text, str):
            raise Refused("schema")
        if name != "system" and CANONICAL[key].get(name) != role:
            repairs.append({"code": "role_alias", "before": name, "after": role, "turn": place})
        result.append({"role": role, "content": text})
    return result, repairs


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Refused("schema")
    return value


def _emollm(turns: list[dict]) -> list[dict]:
    result = []
    for turn in turns:
        if turn.get("system"):
            result.append({"role": "system", "content": _text(turn["system"])})
        result.append({"role": "user", "content": _text(turn.get("input"))})
        result.append({"role": "assistant", "content": _text(turn.get("output"))})
    return result


def _alpaca(row: dict) -> list[dict]:
    asked = "\n".join(t for t in (_text(row.get("instruction", "")), _text(row.get("input") or "")) if t)
    result = [{"role": "system", "content": _text(row["system"])}] if row.get("system") else []
    for pair in row.get("history") or []:
        if not isinstance(pair, list) or len(pair) != 2:
            raise Refused("schema")
        result += [{"role": "user", "content": _text(pair[0])}, {"role": "assistant", "content": _text(pair[1])}]
    return [*result, {"role": "user", "content": asked}, {"role": "assistant", "content": row["output"]}]
