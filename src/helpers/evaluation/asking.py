"""Asking an OpenAI-compatible endpoint whatever it does: answers are kept, trouble is retried, counted and shown.

The openai client itself asks again after 429 (as `Retry-After` says), 5xx, a timeout and a lost connection. What it
takes for an answer and is none (no JSON, LMDeploy's HTTP 200 with an `error_code`) is asked for again here.
Introduced in notebook 07.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.pool import ThreadPool

import openai

from .. import openai_http
from ..errors import UserError
from . import answers

AT_ONCE = 8  # requests in flight: the server batches them
GIVE_UP = 10  # failures without an answer between them, after which the endpoint counts as gone


class NoAnswer(Exception):
    """One request got no answer, however often it was asked; the text says why, and never holds a key."""


@dataclass
class Asker:
    """An endpoint, the answers it has given, and what went wrong on the way. Threads may share one.

    Attributes:
        who: what answers are kept under: a model's fingerprint, or an address and a name.
        retries: of one request by the openai client.
        attempts: of one request whose answer was none.
        pause: seconds before the second attempt, doubled for each further one.
        again: ask also what lies in the file.
        counts: `answered`, `from_file`, `retries`, `empty` (no text), `cut` (half a character at its end).
        failures: how often each reason for no answer came up.
    """

    url: str
    model: str
    who: str
    kept: answers.Answers
    key: str | None = field(default=None, repr=False)
    timeout: float = 300
    retries: int = 4
    attempts: int = 3
    pause: float = 0.5
    again: bool = False

    def __post_init__(self):
        self.client = openai_http.client(self.url, self.key, self.timeout, self.retries)
        self.counts = Counter(answered=0, from_file=0, retries=0, empty=0, cut=0)
        self.failures: Counter = Counter()
        self._lock, self._in_a_row, self._gone = threading.Lock(), 0, None

    def reply(self, messages: list[dict], **parameters) -> str:
        """The answer to a conversation: from the file where it lies there, else from the endpoint.

        Raises:
            NoAnswer: none could be got.
            UserError: the key or the model is refused, or the endpoint counts as gone.
        """
        name = answers.key(self.who, messages, parameters)
        text, source = None if self.again else self.kept.get(name), "from_file"
        if text is None:
            text, source = self._ask(messages, parameters), "answered"
            self.kept.put(name, text)
        self._count(**{source: 1}, empty=not text.strip(), cut=text.endswith("\ufffd"))
        return text

    def check(self) -> None:
        """Raise the UserError with which this endpoint was given up, if it was."""
        if self._gone:
            raise UserError(self._gone)

    def trouble(self) -> dict:
        """What a record says about the asking."""
        return dict(self.counts) | {"failures": dict(self.failures)}

    def _ask(self, messages: list[dict], parameters: dict) -> str:
        for attempt in range(self.attempts):
            self.check()
            try:
                raw = self.client.chat.completions.with_raw_response.create(
                    model=self.model, messages=messages, **parameters
                )
                text = _text(raw.content)
                self._count(retries=raw.retries_taken)
                self._in_a_row = 0
                return text
            except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
                what = {401: "the key", 403: "the key"}.get(error.status_code, f"the model {self.model!r}")
                self._gone = f"{self.url} refuses {what} (HTTP {error.status_code}); nothing can be asked there."
                self.check()
            except (openai.APIConnectionError, openai.APIStatusError) as error:  # after all retries
                raise self._failed(error) from None
            except ValueError as error:
                reason = str(error)
                self._count(retries=raw.retries_taken + (attempt + 1 < self.attempts))
                time.sleep(self.pause * 2**attempt if attempt + 1 < self.attempts else 0)
        raise self._failed(reason)

    def _failed(self, why: Exception | str) -> NoAnswer:
        reason = why if isinstance(why, str) else f"HTTP {why.status_code}" if hasattr(why, "status_code") else None
        reason = reason or ("timeout" if isinstance(why, openai.APITimeoutError) else "no connection")
        refused = isinstance(why, openai.APIStatusError) and why.status_code in (400, 413, 422)
        with self._lock:
            self.failures[reason] += 1
            if not refused:  # a refusal of one request (a prompt that is too long) is an answer of a sort
                self.counts["retries"] += 0 if isinstance(why, str) else self.retries
                self._in_a_row += 1
            if self._in_a_row >= GIVE_UP and not self._gone:
                self._gone = (
                    f"{self.url} failed {self._in_a_row} times in a row (at last: {reason}). {len(self.kept)} answers "
                    f"are kept; run again when it is up, and the rest is asked for."
                )
        return NoAnswer(reason)

    def _count(self, **more: int) -> None:
        with self._lock:
            self.counts.update(more)


def ask_all(rows: Sequence[dict], name: str, asker: Asker, max_tokens: int) -> dict[str, str]:
    """Ask for a greedy reply to every row with `messages`, some at once, and add it to the row under `name`.

    A row that got no answer holds None there.

    Returns:
        Why each such row got none, by its id.

    Raises:
        UserError: the key or the model is refused, or the endpoint stopped answering. The answers so far are kept.
    """
    asked, lost = [row for row in rows if "messages" in row], {}

    def one(row: dict) -> str | None:
        try:
            return asker.reply(row["messages"], temperature=0, max_tokens=max_tokens)
        except NoAnswer as error:
            lost[row["id"]] = str(error)
            return None

    with ThreadPool(AT_ONCE) as pool:
        for row, reply in zip(asked, pool.map(one, asked, chunksize=1), strict=True):
            row[name] = reply
    return dict(sorted(lost.items()))


def _text(body: bytes) -> str:
    """The text of a chat completion; ValueError says what else the body is."""
    try:
        found = json.loads(body.decode())
        text = found["choices"][0]["message"]["content"] or ""
    except ValueError:
        raise ValueError("HTTP 200 without JSON") from None
    except (LookupError, TypeError):
        code = found.get("error_code") if isinstance(found, dict) else None
        raise ValueError(f"HTTP 200 with error_code {code}" if code else "HTTP 200 without an answer") from None
    return openai_http.whole(text)
