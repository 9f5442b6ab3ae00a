"""A question to any OpenAI-compatible endpoint, asked until the answer has the form that was asked for.

The form is a pydantic model: it goes to the server as a JSON schema, and every answer is checked against it here.
"""

import os
from dataclasses import dataclass, field

import openai
from pydantic import BaseModel, ValidationError

from . import openai_http
from .errors import UserError

NO_ANSWER = "failed: no answer ("  # how a status begins where the endpoint itself gave up, after all retries


@dataclass(frozen=True)
class Model:
    """A model behind an endpoint, named in the environment by `<purpose>_URL`, `_MODEL` and `_KEY`.

    Attributes:
        retries: of one request, after 429, 5xx or a timeout.
        attempts: to get an answer in the form that was asked for.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 120
    retries: int = 4
    attempts: int = 3
    max_tokens: int = 1000
    purpose: str = "JUDGE"

    @classmethod
    def from_environment(cls, purpose: str = "JUDGE") -> "Model | None":
        """The model that `<purpose>_URL`, `<purpose>_MODEL` and `<purpose>_KEY` name, or None.

        Raises:
            UserError: an address without a model, or one that is no address.
        """
        url, model = os.environ.get(f"{purpose}_URL"), os.environ.get(f"{purpose}_MODEL")
        if not url:
            return None
        if not model:
            raise UserError(f"{purpose}_URL is set and {purpose}_MODEL is not; name the model that shall answer.")
        if not url.startswith(("http://", "https://")):
            raise UserError(f"{purpose}_URL must begin with http:// or https:// and usually ends with /v1.")
        return cls(url, model, os.environ.get(f"{purpose}_KEY"), purpose=purpose)

    def client(self) -> openai.OpenAI:
        """A client that tries again by itself, later each time and as `Retry-After` asks."""
        return openai_http.client(self.url, self.key, self.timeout, self.retries)


def ask(model: Model, messages: list[dict], form: type[BaseModel], client: openai.OpenAI | None = None) -> dict:
    """One question, asked again with what was wrong until the answer has the form, `attempts` times at most.

    Returns:
        `answer` (None where none was got), `status` ("answered", or why not), `attempts`, `retries`. No key is in it.

    Raises:
        UserError: the key or the model is refused; asking again would not help.
    """
    client, said = client or model.client(), list(messages)
    # Not every server knows `response_format` or lets the temperature be chosen; the form is checked here anyway.
    ways = [{"temperature": 0, "response_format": _schema(form)}, {"temperature": 0}, {}]
    found = {"answer": None, "status": "", "attempts": 0, "retries": 0}
    while found["attempts"] < model.attempts:
        try:
            raw = client.chat.completions.with_raw_response.create(
                model=model.model, messages=said, max_tokens=model.max_tokens, **ways[0]
            )
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            names = ", ".join(f"{model.purpose}_{part}" for part in ("URL", "MODEL", "KEY"))
            raise UserError(f"the endpoint refuses ({error.status_code}); check {names}.") from None
        except (openai.BadRequestError, openai.UnprocessableEntityError):
            ways.pop(0)
            if not ways:
                return found | {"status": "failed: the endpoint refuses this request"}
            continue
        except (openai.APIConnectionError, openai.APIStatusError) as error:  # after all retries
            status = f"{NO_ANSWER}{type(error).__name__})"
            return found | {"status": status, "retries": found["retries"] + model.retries}
        found["attempts"] += 1
        found["retries"] += raw.retries_taken
        text = _text(raw)
        try:
            answer = form.model_validate_json(text[text.find("{") : text.rfind("}") + 1])
            return found | {"answer": answer.model_dump(), "status": "answered"}
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'JSON'}: {e['msg']}" for e in error.errors()[:4])
            said = [*messages, {"role": "assistant", "content": text or "（空）"}]
            said.append({"role": "user", "content": f"格式不对（{wrong}）。请只输出一个符合要求的 JSON 对象。"})
    return found | {"status": "failed: no answer in the form that was asked for"}


def _schema(form: type[BaseModel]) -> dict:
    named = {"name": form.__name__.lower(), "schema": form.model_json_schema(), "strict": True}
    return {"type": "json_schema", "json_schema": named}


def _text(raw) -> str:
    try:
        return openai_http.whole(raw.parse().choices[0].message.content or "")
    except (AttributeError, IndexError, TypeError, ValueError, openai.APIResponseValidationError):
        return ""  # a body that is no chat completion
