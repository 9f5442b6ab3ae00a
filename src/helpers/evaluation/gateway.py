"""A door for programs that ask for themselves, EvalScope here: their requests go through an `Asker`.

So they share its file of answers and its patience, and the endpoint's key never reaches them, their command line or
what they write. It listens on 127.0.0.1 and opens to a password of its own, new each time.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from .. import openai_http
from ..errors import UserError
from .asking import Asker, NoAnswer

PASSED_ON = ("max_tokens", "temperature")  # of a request; with greedy decoding nothing else changes an answer


@contextmanager
def opened(asker: Asker) -> Iterator[tuple[str, str]]:
    """Serve `/v1/chat/completions` while the block runs; gives the address and the password (an OpenAI API key)."""
    password = secrets.token_hex(16)

    def answer(asked: dict, authorization: str | None) -> tuple[int, dict]:
        if authorization != f"Bearer {password}":
            return 401, _error("another password is needed")
        try:
            parameters = {name: asked[name] for name in PASSED_ON if name in asked}
            return 200, openai_http.completion(asker.model, asker.reply(asked["messages"], **parameters))
        except (NoAnswer, UserError) as error:
            return 400, _error(str(error))  # 400: all retries are spent, nobody should ask again

    with openai_http.served(answer) as url:
        yield url, password


def _error(says: str) -> dict:
    return {"error": {"message": says, "type": "invalid_request_error"}}
