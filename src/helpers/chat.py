"""A chat box for a notebook, around any OpenAI-compatible endpoint."""

from html import escape

import ipywidgets as widgets
import openai

from .errors import UserError
from .serving import Endpoint
from .serving.client import pieces

CRISIS = "这不是医生。如果你或身边的人有危险，请拨打 12356（心理援助）、120 或 110。 This is not a clinician."
NAMES = {"user": "来访者", "assistant": "模型"}


class Chat:
    """A text box, a button and the conversation; each answer streams in. `box` is the widget to display."""

    def __init__(self, endpoint: Endpoint, system: str, max_tokens: int = 160):
        self.client, self.model, self.max_tokens = endpoint.client(), endpoint.model, max_tokens
        self.messages = [{"role": "system", "content": system}]
        self.text = widgets.Textarea(placeholder="想说点什么？", layout=widgets.Layout(width="100%"))
        self.button = widgets.Button(description="发送 Send", button_style="primary")
        self.view = widgets.HTML()
        self.button.on_click(lambda _: self.send(self.text.value))
        self.box = widgets.VBox([widgets.HTML(f"<b>{CRISIS}</b>"), self.view, self.text, self.button])

    def send(self, text: str) -> str:
        """Send one message with all that was said before, show the answer as it comes, and return it.

        A refusal or a server that has stopped is shown in the box; the message stays in the text field.
        """
        if not text.strip():
            return ""
        said = len(self.messages)
        self.messages += [{"role": "user", "content": text}, {"role": "assistant", "content": ""}]
        self.button.disabled = True
        try:
            parts = self.client.chat.completions.create(
                model=self.model,
                messages=self.messages[:-1],
                temperature=0,
                max_tokens=self.max_tokens,
                stream=True,
            )
            for piece in pieces(parts):
                self.messages[-1]["content"] += piece
                self._draw()
        except (openai.APIError, UserError) as error:
            del self.messages[said:]
            self.text.value = text
            self._draw(f"The server did not answer: {error} Is it still running?")
            return ""
        finally:
            self.button.disabled = False
        self.text.value = ""
        return self.messages[-1]["content"]

    def _draw(self, note: str = "") -> None:
        lines = [
            f"<p><b>{NAMES[m['role']]}</b> {escape(m['content'])}</p>" for m in self.messages if m["role"] in NAMES
        ]
        self.view.value = "".join(lines) + (f"<p><i>{escape(note)}</i></p>" if note else "")
