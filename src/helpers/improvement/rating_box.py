"""Blind A/B rating in a notebook, for the mouse or the keyboard, around a `ratings.Store`."""

import random
from collections.abc import Sequence
from html import escape

import ipywidgets as widgets

from ..chat import CRISIS, NAMES
from ..evaluation.rubric import AXES
from .ratings import BETTER, Store

SIDES = ("A", "B")
KEYS = "keys: 0–3 next empty scale, a / b / = which is better, u undo, n next, p previous"


def sides(pair: dict, rater: str, seed: int) -> list[str]:
    """The ids of a pair's two answers as they stand left and right: drawn, and the same whenever the page is opened."""
    order = sorted(pair["answers"])
    random.Random(f"{seed} {rater} {pair['item']}").shuffle(order)
    return order


class RatingBox:
    """Two answers without names, a scale of 0 to 3 for each axis, and which is better. `box` is the widget to display.

    Every choice is stored at once; another box on the same file and with the same rater goes on where this one was.
    """

    def __init__(self, store: Store, pairs: Sequence[dict], rater: str, seed: int = 0):
        self.store, self.pairs, self.rater, self.seed = store, list(pairs), rater, seed
        store.add(self.pairs)
        self.place = next((i for i, pair in enumerate(self.pairs) if self._open(pair)), 0)
        self._showing = False
        self.head, self.talk = widgets.HTML(), widgets.HTML()
        self.texts = {side: widgets.HTML() for side in SIDES}
        self.scales = {(side, axis): self._scale(side, axis) for side in SIDES for axis in AXES}
        self.better = widgets.ToggleButtons(options=[("A", 0), ("tie", "tie"), ("B", 1)], description="better")
        self.better.observe(lambda change: self._choose(BETTER, change["new"]), "value")
        self.keys = widgets.Text(placeholder=KEYS, layout=widgets.Layout(width="97%"))
        self.keys.observe(lambda change: self.press(change["new"]), "value")
        half = widgets.Layout(width="48%", margin="0 1% 0 0")
        shown = [widgets.VBox([self.texts[side]], layout=half) for side in SIDES]
        scales = [widgets.VBox([self.scales[side, axis] for axis in AXES], layout=half) for side in SIDES]
        steps = [self._button(text, step) for text, step in (("undo", "u"), ("previous", "p"), ("next", "n"))]
        note = widgets.HTML(f"<b>{CRISIS}</b>")
        answers = [widgets.HBox(shown), widgets.HBox(scales)]
        parts = [note, self.head, self.talk, *answers, self.better, widgets.HBox(steps), self.keys]
        self.box = widgets.VBox(parts)
        self._show()

    def press(self, keys: str) -> None:
        """What the keys in the text field do, one after the other; see `KEYS`. Others do nothing."""
        for one in keys.lower():
            if one in "0123" and (empty := self._next_empty()):
                self.scales[empty].value = int(one)
            elif one in "ab=":
                self.better.value = {"a": 0, "b": 1, "=": "tie"}[one]
            elif one in "np":
                self.place = min(max(self.place + (1 if one == "n" else -1), 0), len(self.pairs) - 1)
                self._show()
            elif one == "u":
                self.undo()
        if keys:
            self.keys.value = ""

    def undo(self) -> None:
        """Take the last choice back, and show the pair that it belonged to."""
        about = self.store.undo(self.rater)
        of = [i for i, pair in enumerate(self.pairs) if about in (pair["item"], *pair["answers"])]
        self.place = of[0] if of else self.place
        self._show()

    def _scale(self, side: str, axis: str) -> widgets.ToggleButtons:
        name, *anchors = AXES[axis]
        scale = widgets.ToggleButtons(
            options=[(str(n), n) for n in range(4)],
            tooltips=anchors,
            description=f"{name} {axis}",
            value=None,
            style=widgets.ToggleButtonsStyle(button_width="2.2em", description_width="11em"),
        )
        scale.observe(lambda change: self._choose((side, axis), change["new"]), "value")
        return scale

    def _button(self, text: str, key: str) -> widgets.Button:
        button = widgets.Button(description=text)
        button.on_click(lambda _: self.press(key))
        return button

    def _choose(self, what, value) -> None:
        if self._showing or value is None:
            return
        pair, ids = self._pair()
        if what == BETTER:
            self.store.put(self.rater, pair["item"], BETTER, "tie" if value == "tie" else ids[value])
        else:
            self.store.put(self.rater, ids[SIDES.index(what[0])], what[1], value)
        self._count()

    def _pair(self) -> tuple[dict, list[str]]:
        pair = self.pairs[self.place]
        return pair, sides(pair, self.rater, self.seed)

    def _open(self, pair: dict) -> bool:
        given = self.store.given(self.rater)
        scored = all((name, axis) in given for name in pair["answers"] for axis in AXES)
        return not scored or (pair["item"], BETTER) not in given

    def _next_empty(self) -> tuple[str, str] | None:
        return next((where for where, scale in self.scales.items() if scale.value is None), None)

    def _count(self) -> None:
        done = sum(not self._open(pair) for pair in self.pairs)
        self.head.value = f"pair {self.place + 1} of {len(self.pairs)}, {done} finished, rater {escape(self.rater)}"

    def _show(self) -> None:
        if not self.pairs:
            self.head.value = "nothing to rate: no question has two different answers"
            return
        pair, ids = self._pair()
        given, self._showing = self.store.given(self.rater), True
        said = [f"<p><b>{NAMES[m['role']]}</b> {escape(m['content'])}</p>" for m in pair["messages"]]
        self.talk.value = "".join(said)
        for side, name in zip(SIDES, ids, strict=True):
            text = escape(pair["answers"][name]["text"]).replace("\n", "<br>")
            self.texts[side].value = f"<p><b>{side}</b> {text}</p>"
            for axis in AXES:
                self.scales[side, axis].value = given.get((name, axis))
        chosen = given.get((pair["item"], BETTER))
        self.better.value = ids.index(chosen) if chosen in ids else chosen
        self._showing = False
        self._count()
