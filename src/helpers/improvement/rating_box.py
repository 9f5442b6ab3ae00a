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
# a radio button's label has one fixed line; ours hold a sentence, and wrap
STYLE = """<style>
.rating-scale .widget-radio-box { width: 100%; }
.rating-scale > .widget-label { font-weight: bold; }
.rating-scale .widget-radio-box label { height: auto; line-height: 1.5; display: flex; white-space: normal; }
.rating-scale .widget-radio-box label { flex-direction: row-reverse; justify-content: flex-end; }
.rating-scale .widget-radio-box input { flex: none; float: none; margin: 0.3em 0.5em 0 0; }
.rating-scale input:focus-visible { outline: 2px solid currentColor; outline-offset: 1px; }
</style>"""


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
        self._showing, self._typed = False, ""
        self.head, self.talk = widgets.HTML(), widgets.HTML()
        self.texts = {side: widgets.HTML() for side in SIDES}
        self.scales = {(side, axis): self._scale(side, axis) for side in SIDES for axis in AXES}
        choice = [("A is better", 0), ("no difference", "tie"), ("B is better", 1)]
        self.better = self._radio(choice, "which is better?", widgets.Layout(width="98%"))
        self.better.observe(lambda change: self._choose(BETTER, change["new"]), "value")
        self.keys = widgets.Text(description="keys", placeholder=KEYS, tooltip=KEYS, layout=widgets.Layout(width="97%"))
        self.keys.observe(lambda change: self._type(change["new"]), "value")
        half = widgets.Layout(width="48%", margin="0 1% 0 0")
        shown = [widgets.VBox([self.texts[side]], layout=half) for side in SIDES]
        scales = [
            part
            for axis, (name, *_) in AXES.items()
            for part in (
                widgets.HTML(f"<b>{name}</b> {axis}"),
                widgets.HBox([self.scales[side, axis] for side in SIDES]),
            )
        ]
        steps = [self._button(text, step) for text, step in (("undo", "u"), ("previous", "p"), ("next", "n"))]
        note = widgets.HTML(f"{STYLE}<b>{CRISIS}</b>")
        last = [self.better, self.keys, widgets.HBox(steps)]
        self.box = widgets.VBox([note, self.head, self.talk, widgets.HBox(shown), *scales, *last])
        self._show()

    def press(self, keys: str) -> None:
        """What keys do, one after the other; see `KEYS`. Others do nothing."""
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

    def _type(self, text: str) -> None:
        """Press what is new in the text field. The field is not emptied: the next key would already be on its way."""
        if text.startswith(self._typed):
            self.press(text[len(self._typed) :])
        self._typed = text

    def undo(self) -> None:
        """Take the last choice back, and show the pair that it belonged to."""
        about = self.store.undo(self.rater)
        of = [i for i, pair in enumerate(self.pairs) if about in (pair["item"], *pair["answers"])]
        self.place = of[0] if of else self.place
        self._show()

    def _scale(self, side: str, axis: str) -> widgets.RadioButtons:
        name, *anchors = AXES[axis]
        options = [(f"{n} {text}", n) for n, text in enumerate(anchors)]
        scale = self._radio(options, side, widgets.Layout(width="48%", margin="0 1% 0 0"), f"{side}, {name}")
        scale.observe(lambda change: self._choose((side, axis), change["new"]), "value")
        return scale

    def _radio(self, options: list, description: str, layout: widgets.Layout, tip: str = "") -> widgets.RadioButtons:
        """Radio buttons, because a screen reader tells their words and their state; Tab and space work."""
        radio = widgets.RadioButtons(
            options=options, description=description, value=None, layout=layout, tooltip=tip or description
        )
        radio.style.description_width = "auto"
        radio.add_class("rating-scale")
        return radio

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
            self.texts[side].value = f'<section aria-label="answer {side}"><b>{side}</b> {text}</section>'
            for axis in AXES:
                self.scales[side, axis].value = given.get((name, axis))
        chosen = given.get((pair["item"], BETTER))
        self.better.value = ids.index(chosen) if chosen in ids else chosen
        self._showing = False
        self._count()
