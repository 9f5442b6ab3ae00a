"""A language model as a judge, asked turn by turn over any OpenAI-compatible endpoint.

`JUDGE_URL` and `JUDGE_MODEL` name it, `JUDGE_KEY` is its key. Without them nothing is judged, and the page says so.
What a judge says is an opinion with a bias of its own: `pairwise` and `agreement` show how large. Introduced in
notebook 07.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.pool import ThreadPool

import openai
from pydantic import BaseModel, ValidationError

from ..errors import UserError
from .rubric import AXES, Ratings, prompt
from .significance import interval, ratio

NOT_JUDGED = "not judged"
AT_ONCE = 4  # requests in flight


@dataclass(frozen=True)
class Judge:
    """A judge's endpoint. `retries` of one request after 429, 5xx, a timeout; `attempts` to get an answer in form."""

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 120
    retries: int = 4
    attempts: int = 3
    max_tokens: int = 1000

    @classmethod
    def from_environment(cls) -> "Judge | None":
        """The judge that `JUDGE_URL`, `JUDGE_MODEL` and `JUDGE_KEY` name, or None.

        Raises:
            UserError: an address without a model, or one that is no address.
        """
        url, model = os.environ.get("JUDGE_URL"), os.environ.get("JUDGE_MODEL")
        if not url:
            return None
        if not model:
            raise UserError("JUDGE_URL is set and JUDGE_MODEL is not; name the model that shall judge.")
        if not url.startswith(("http://", "https://")):
            raise UserError("JUDGE_URL must begin with http:// or https:// and usually ends with /v1.")
        return cls(url, model, os.environ.get("JUDGE_KEY"))

    def client(self) -> openai.OpenAI:
        """A client that tries again by itself, later each time and as `Retry-After` asks."""
        near = any(host in self.url for host in ("//127.0.0.1", "//localhost"))  # a proxy cannot reach this machine
        http = openai.DefaultHttpxClient(trust_env=not near)
        return openai.OpenAI(
            base_url=self.url,
            api_key=self.key or "none",
            timeout=self.timeout,
            max_retries=self.retries,
            http_client=http,
        )


def ask(judge: Judge, messages: list[dict], form: type[BaseModel], client: openai.OpenAI | None = None) -> dict:
    """One question, asked again with what was wrong until the answer has the form, `attempts` times at most.

    Returns:
        `answer` (None where none was got), `status` ("judged", or why not), `attempts`, `retries`. No key is in it.

    Raises:
        UserError: the key or the model is refused; asking again would not help.
    """
    client, said = client or judge.client(), list(messages)
    # Not every server knows `response_format` or lets the temperature be chosen; the form is checked here anyway.
    ways = [{"temperature": 0, "response_format": _schema(form)}, {"temperature": 0}, {}]
    found = {"answer": None, "status": "", "attempts": 0, "retries": 0}
    while found["attempts"] < judge.attempts:
        try:
            raw = client.chat.completions.with_raw_response.create(
                model=judge.model, messages=said, max_tokens=judge.max_tokens, **ways[0]
            )
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            raise UserError(
                f"the judge refuses ({error.status_code}); check JUDGE_URL, JUDGE_MODEL and JUDGE_KEY."
            ) from None
        except openai.BadRequestError:
            ways.pop(0)
            if not ways:
                return found | {"status": "failed: the judge refuses this request (400)"}
            continue
        except (openai.APIConnectionError, openai.APIStatusError) as error:  # after all retries
            status = f"failed: no answer ({type(error).__name__})"
            return found | {"status": status, "retries": found["retries"] + judge.retries}
        found["attempts"] += 1
        found["retries"] += raw.retries_taken
        text = _text(raw)
        try:
            answer = form.model_validate_json(text[text.find("{") : text.rfind("}") + 1])
            return found | {"answer": answer.model_dump(), "status": "judged"}
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'JSON'}: {e['msg']}" for e in error.errors()[:4])
            said = [*messages, {"role": "assistant", "content": text or "（空）"}]
            said.append({"role": "user", "content": f"格式不对（{wrong}）。请只输出一个符合要求的 JSON 对象。"})
    return found | {"status": "failed: no answer in the form that was asked for"}


def rate(judge: Judge | None, rows: Sequence[dict], name: str) -> list[dict]:
    """Rate the reply under `name` in every row, a turn each; rows as `testset.turns` or `testset.dialogues` make them.

    Returns:
        For each row `id`, `talk` (the dialogue it belongs to), `scores` (by axis, or None), `reason`, `status`,
        `attempts`, `retries`. An empty reply gets 0 on every axis without being sent, and says so.
    """
    client = judge.client() if judge else None

    def one(row: dict) -> dict:
        named = {"id": row["id"], "talk": row.get("talk", row["id"]), "scores": None, "reason": ""}
        if judge is None:
            return named | {"status": NOT_JUDGED}
        if row[name] is None:
            return named | {"status": "failed: the model gave no reply"}
        if not row[name].strip():
            return named | {"scores": dict.fromkeys(AXES, 0), "reason": "empty reply", "status": "judged"}
        found = ask(judge, prompt(row["messages"], row[name]), Ratings, client)
        answer = found.pop("answer")
        if answer:
            named |= {"scores": {axis: answer[axis] for axis in AXES}, "reason": answer["reason"]}
        return named | found

    with ThreadPool(AT_ONCE) as pool:
        return pool.map(one, rows, chunksize=1)


def summary(ratings: Sequence[dict], seed: int = 0) -> dict:
    """Mean of each axis, 0..3, with its interval. Whole dialogues are drawn again, because their turns are alike.

    Returns:
        `axes`, `turns` that were judged, `status` (how often each), `retries`. An axis has no score where nothing was
        judged; a failed turn is counted and is never a zero.
    """
    judged = [r for r in ratings if r["scores"]]
    talks: dict[str, list[dict]] = {}
    for one in judged:
        talks.setdefault(one["talk"], []).append(one["scores"])
    turns = [len(scores) for scores in talks.values()]
    return {
        "axes": {
            axis: interval(ratio([sum(s[axis] for s in scores) for scores in talks.values()], turns), seed)
            for axis in AXES
        },
        "turns": len(judged),
        "status": dict(Counter(r["status"] for r in ratings)),
        "retries": sum(r.get("retries", 0) for r in ratings),
    }


def _schema(form: type[BaseModel]) -> dict:
    named = {"name": form.__name__.lower(), "schema": form.model_json_schema(), "strict": True}
    return {"type": "json_schema", "json_schema": named}


def _text(raw) -> str:
    try:
        return raw.parse().choices[0].message.content or ""
    except (AttributeError, IndexError, TypeError, ValueError, openai.APIResponseValidationError):
        return ""  # a body that is no chat completion
