"""The forms a dialogue comes in: ShareGPT, role and content, EmoLLM's, ms-swift's, alpaca's. All become `messages`."""

import json
import re
import unicodedata

CANONICAL = {"from": {"human": "user", "gpt": "assistant"}, "role": {"user": "user", "assistant": "assistant"}}
ALIASES = {  # compared without case, blanks, marks and a number at the end
    "user": "user human visitor client patient prompter prompt questioner question query input asker seeker "
    "helpseeker usr customer inquirer counselee counsellee student caller q h u 用户 来访者 求助者 来访 "
    "患者 人类 提问者 学生 问 问题 咨客 倾诉者 倾诉人 案主 当事人 访客 客户 学员 网友 提问 病人 求助人 "
    "求助方 来询者 咨询者 来访人 提问人 问者 使用者 访者 用户提问 用户输入 求助 倾诉",
    "assistant": "assistant gpt chatgpt model bot ai bard bing claude llm llama qwen gemini glm chatglm deepseek "
    "answerer answer response reply output completion counselor counsellor counsel therapist psychologist "
    "psychiatrist doctor listener chatbot robot supporter helper agent asst consultant coach expert "
    "machine system_response emollm a 助手 咨询师 心理咨询师 倾听者 助理 医生 机器人 老师 答 治疗师 "
    "倾听师 倾听员 聆听者 辅导员 辅导师 顾问 专家 心理专家 心理医生 心理老师 心理师 心理顾问 心理助手 "
    "心理辅导员 客服 小助手 智能助手 ai助手 ai助理 ai咨询师 人工智能 模型 大模型 咨询员 咨询 医师 大夫 "
    "回答 回答者 回复 答者 支持者 志愿者 陪伴者 疏导师 接线员 智能体 系统回复 心理治疗师 咨询老师",
    "system": "system sys systemprompt 系统 系统提示 系统提示词",
}
PAIRS = (("input", "output"), ("human", "assistant"), ("user", "assistant"), ("query", "response"))  # one exchange
_TRIM = re.compile(r"[\W_]+")
_NUMBER = re.compile(r"\d+[a-z]?$")  # `user1`, `gpt-4o`
SPEAKERS = {_TRIM.sub("", alias): role for role, names in ALIASES.items() for alias in names.split()}


def speaker(name: object) -> str | None:
    """The role that a name stands for: `user`, `assistant` or `system`; None for a name that is none of these."""
    if not isinstance(name, str):
        return None
    plain = _TRIM.sub("", unicodedata.normalize("NFKC", name).lower())
    if plain.endswith("turbo"):
        plain = plain.removesuffix("turbo")
    return SPEAKERS.get(plain) or SPEAKERS.get(_NUMBER.sub("", plain))


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
    if turns is None:
        return _alpaca(row), []
    if not isinstance(turns, list) or not turns or not all(isinstance(t, dict) for t in turns):
        raise Refused("schema")
    # a turn that names its speaker may have any other field beside
    named = "from" in turns[0] or "role" in turns[0]
    pair = None if named else next((p for p in PAIRS if p[0] in turns[0] or p[1] in turns[0]), None)
    result, repairs = (_exchanges(turns, *pair), []) if pair else _turns(turns)
    return (result if result[0]["role"] == "system" else _system(row) + result), repairs


def _turns(turns: list[dict]) -> tuple[list[dict], list[dict]]:
    result, repairs = [], []
    for place, turn in enumerate(turns):
        key = "from" if "from" in turn else "role"
        name, text = turn.get(key), turn.get("value", turn.get("content"))
        role = speaker(name)
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


def _system(row: dict) -> list[dict]:
    return [{"role": "system", "content": _text(row["system"])}] if row.get("system") else []


def _exchanges(turns: list[dict], asked: str, answered: str) -> list[dict]:
    result = []
    for turn in turns:
        result += _system(turn)
        result.append({"role": "user", "content": _text(turn.get(asked))})
        if turn is not turns[-1] or turn.get(answered) is not None:  # else the last question waits for its reply
            result.append({"role": "assistant", "content": _text(turn.get(answered))})
    return result


def _alpaca(row: dict) -> list[dict]:
    """One exchange after a history: alpaca's instruction, input and output, or ms-swift's query and response."""
    answer = row.get("output", row.get("response"))
    asked = [_text(row.get(key) or "") for key in ("instruction", "input", "query")]
    if not isinstance(answer, str) or "response" in row and "query" not in row:
        raise Refused("schema")
    result, history = _system(row), row.get("history") or []
    if not isinstance(history, list):
        raise Refused("schema")
    for pair in history:
        if not isinstance(pair, list) or len(pair) != 2:
            raise Refused("schema")
        result += [{"role": "user", "content": _text(pair[0])}, {"role": "assistant", "content": _text(pair[1])}]
    return [
        *result,
        {"role": "user", "content": "\n".join(filter(None, asked))},
        {"role": "assistant", "content": answer},
    ]
