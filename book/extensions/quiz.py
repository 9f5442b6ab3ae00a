"""Questions on the pages: `book/quiz/<page>.yml`, in both languages, put before the last section of that page.

Without JavaScript they are folded answers that a reader opens. With it they become questions to answer, and what was
answered stays in the browser. JupyterLab shows the notebook as it is, without them.

Why not jupyterquiz 2.9.6 (MIT): its questions are outputs of a cell, so one language, nothing without JavaScript; its
controls carry no roles or labels for a screen reader, it keeps no progress, and it may fetch MathJax from elsewhere.
"""

import html
import re
from pathlib import Path

import yaml
from docutils import nodes
from docutils.parsers.rst import Directive
from languages import language
from sphinx.transforms import SphinxTransform

FOLDER = Path(__file__).parents[1] / "quiz"
WORDS = {
    "en": {
        "title": "Check yourself",
        "one": "One answer is right.",
        "several": "Several answers are right.",
        "answer": "Answer",
        "right": "Right",
        "wrong": "Not so",
        "questions": "questions",
        "colon": ": ",
        "without": "JavaScript would count here what you have answered.",
    },
    "zh": {
        "title": "自测",
        "one": "只有一个正确答案。",
        "several": "有多个正确答案。",
        "answer": "答案",
        "right": "对",
        "wrong": "不对",
        "questions": "题",
        "colon": "：",
        "without": "启用 JavaScript 后，这里会统计你的作答。",
    },
}


def load(page: str) -> list[dict]:
    """The questions of a page, such as `02_data`: `id`, `ask`, `options` with `text`, `right` and `why`."""
    return yaml.safe_load((FOLDER / f"{page}.yml").read_text(encoding="utf-8"))


def inline(text: str) -> str:
    """Text as HTML: nothing but `code` has a meaning."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))


def as_html(page: str, language: str) -> str:
    """All questions of a page as one piece of HTML that needs no JavaScript.

    Args:
        language: `en` or `zh`.
    """
    words, out = WORDS[language], []
    for number, question in enumerate(load(page), 1):
        several = sum(o["right"] for o in question["options"]) > 1
        kind, name = ("checkbox" if several else "radio"), f"quiz-{page}-{question['id']}"
        options, answers = [], []
        for place, option in enumerate(question["options"]):
            letter, right = "ABCDEFG"[place], "true" if option["right"] else "false"
            text, why = inline(option["text"][language]), inline(option["why"][language])
            options.append(
                f'<li><label><input type="{kind}" name="{name}" value="{place}" data-right="{right}" disabled> '
                f"<b>{letter}</b> {text}</label></li>"
            )
            verdict = words["right" if option["right"] else "wrong"]
            answers.append(f"<li><b>{letter}</b> {verdict}{words['colon']}{why}</li>")
        out.append(
            f'<form class="quiz-question" data-quiz="{page}" data-question="{question["id"]}">'
            f"<fieldset><legend><b>{number}.</b> {inline(question['ask'][language])} "
            f"<small>{words['several' if several else 'one']}</small></legend>"
            f'<ul class="quiz-options">{"".join(options)}</ul></fieldset>'
            f'<p class="quiz-verdict" role="status" aria-live="polite"></p>'
            f"<details><summary>{words['answer']}</summary>"
            f'<ul class="quiz-options">{"".join(answers)}</ul></details></form>'
        )
    return "\n".join(out)


class Place(SphinxTransform):
    """Put a section with the questions before the last section of a page."""

    default_priority = 880  # after translation, before the headings of the page are listed

    def apply(self, **_):
        page = self.env.docname.rsplit("/", 1)[-1]
        pages = [n for n in self.document.children if isinstance(n, nodes.section)]
        if self.app.builder.format != "html" or not (FOLDER / f"{page}.yml").exists() or not pages:
            return
        self.env.note_dependency(str(FOLDER / f"{page}.yml"))
        title = WORDS[language(self.config)]["title"]
        section = nodes.section("", nodes.title("", title), ids=["check-yourself"], names=["check yourself"])
        section += nodes.raw("", as_html(page, language(self.config)), format="html")
        sections = [n for n in pages[0].children if isinstance(n, nodes.section)]
        pages[0].insert(pages[0].index(sections[-1]), section)


class Progress(Directive):
    """`{quiz-progress}`: how many questions of each page were answered in this browser."""

    def run(self):
        environment = self.state.document.settings.env
        tongue, rows = language(environment.config), []
        words = WORDS[tongue]
        for file in sorted(FOLDER.glob("*.yml")):
            environment.note_dependency(str(file))
            count, number = len(load(file.stem)), int(file.stem[:2])
            name = f"Page {number}" if tongue == "en" else f"第 {number} 页"
            link = f"../notebooks/{file.stem}.html#check-yourself"
            rows.append(
                f'<li data-progress="{file.stem}" data-count="{count}"><a href="{link}">{name}</a> '
                f"<span>{count} {words['questions']}</span></li>"
            )
        text = f'<div class="quiz-progress"><ul>{"".join(rows)}</ul><p>{words["without"]}</p></div>'
        return [nodes.raw("", text, format="html")]


def setup(app):
    """Sphinx's entry point."""
    app.add_directive("quiz-progress", Progress)
    app.add_transform(Place)
    app.add_js_file("quiz.js", loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
