"""A client of an OpenAI-compatible endpoint that notices what LMDeploy's proxy hides, and the requests of page 6."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import openai

from ..errors import UserError

QUESTION = "我最近总是睡不好，一躺下就开始想白天的事。"
SERVICE_UNAVAILABLE = 503


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible endpoint that is up."""

    url: str
    model: str
    engine: str
    api_key: str | None = None

    def client(self, retries: int = 0) -> openai.OpenAI:
        """An OpenAI client for this endpoint; it waits ten minutes for an answer.

        Args:
            retries: how often the `openai` package asks again, after 0.5 s and then twice as long each time up to 8 s.
        """
        # a proxy set in the environment (`HTTP_PROXY`) cannot reach this machine's own port
        transport = Unmasked(httpx2.HTTPTransport(trust_env=False))
        return openai.OpenAI(
            base_url=self.url,
            api_key=self.api_key or "none",
            timeout=600,
            max_retries=retries,
            http_client=openai.DefaultHttpxClient(trust_env=False, transport=transport),
        )


class Unmasked(httpx2.BaseTransport):
    """Gives an error its HTTP status back.

    `lmdeploy serve proxy` 0.18.0 answers "200 OK" when a worker dies, with a body of `error_code` and `text`, and also
    when a worker refuses a request. The `openai` package then finds no choices in it, and never retries a 200.
    """

    def __init__(self, inner: httpx2.BaseTransport):
        self.inner = inner

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request; a 200 that carries an error comes back as the 503, or the worker's own status, it means."""
        response = self.inner.handle_request(request)
        kind = response.headers.get("content-type", "")
        if response.status_code != 200 or not kind.startswith(("application/json", "text/event-stream")):
            return response
        chunks = iter(response.stream)
        head = next(chunks, b"")
        if not kind.startswith("text/event-stream"):
            head += b"".join(chunks)
        status = hidden_status(head)
        if status is None:
            return httpx2.Response(200, headers=response.headers, stream=Rest(response, head, chunks))
        response.close()
        return httpx2.Response(status, headers={"content-type": "application/json"}, content=head.strip())

    def close(self) -> None:
        self.inner.close()


class Rest(httpx2.SyncByteStream):
    """A body whose beginning has been looked at."""

    def __init__(self, response: httpx2.Response, head: bytes, chunks: Iterator[bytes]):
        self.response, self.head, self.chunks = response, head, chunks

    def __iter__(self) -> Iterator[bytes]:
        yield self.head
        yield from self.chunks

    def close(self) -> None:
        self.response.close()


def hidden_status(body: bytes) -> int | None:
    """The status that the body of a "200 OK" means: 503 for the proxy's own errors, a worker's own, None for none."""
    if not body.lstrip().startswith(b"{"):
        return None
    try:
        said = json.loads(body)
    except ValueError:
        return None
    if "error_code" in said:
        return SERVICE_UNAVAILABLE
    code = said.get("code")
    return code if said.get("object") == "error" and isinstance(code, int) and 400 <= code < 600 else None


def messages(text: str, system: str) -> list[dict]:
    """One visitor's message below the system prompt that the model was trained with."""
    return [{"role": "system", "content": system}, {"role": "user", "content": text}]


def ask(endpoint: Endpoint, text: str, system: str, max_tokens: int = 160) -> str:
    """One greedy answer."""
    done = endpoint.client().chat.completions.create(
        model=endpoint.model, messages=messages(text, system), temperature=0, max_tokens=max_tokens
    )
    return done.choices[0].message.content or ""


def stream(endpoint: Endpoint, text: str, system: str, max_tokens: int = 160) -> Iterator[str]:
    """The same answer, piece by piece as it is made.

    Raises:
        UserError: the stream ended in the middle of the answer.
    """
    yield from pieces(
        endpoint.client().chat.completions.create(
            model=endpoint.model, messages=messages(text, system), temperature=0, max_tokens=max_tokens, stream=True
        )
    )


def pieces(parts) -> Iterator[str]:
    """The text of a stream of the `openai` package; an error if it breaks off, which that package does not notice.

    Raises:
        UserError: the connection ended, or the stream did without a reason to finish.
    """
    count, finished = 0, False
    try:
        for part in parts:
            choice = part.choices[0] if part.choices else None
            finished = finished or bool(choice and choice.finish_reason)
            if choice and choice.delta.content:
                count += 1
                yield choice.delta.content
    except (httpx2.HTTPError, openai.APIConnectionError) as error:
        raise UserError(f"the answer broke off after piece {count}: {error}") from None
    if not finished:
        raise UserError(f"the answer broke off after piece {count}: the stream ended without a reason to finish.")


def status(client: openai.OpenAI, endpoint: Endpoint, text: str, **options) -> tuple[int, str]:
    """HTTP status and message of one request: 200 and the answer, or the server's own refusal."""
    options = {"model": endpoint.model, "max_tokens": 8, **options}
    try:
        done = client.chat.completions.create(messages=[{"role": "user", "content": text}], **options)
        return 200, done.choices[0].message.content or ""
    except openai.APIStatusError as error:
        body = error.body if isinstance(error.body, dict) else {}
        return error.status_code, str(body.get("message") or body.get("error") or body.get("text") or error.message)
