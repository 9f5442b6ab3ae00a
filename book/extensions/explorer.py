"""The directive `explorer`: a place on a page for a small tool that runs in the browser, with its data in the page.

The data lie in the page and the scripts are plain ones, not modules: so the explorers also work from a folder that is
opened as `file://`, where a browser neither fetches JSON nor loads modules.
"""

import json
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from languages import language

DATA = Path(__file__).parents[1] / "explorers"
WITHOUT = {
    "en": "This tool runs in your browser and needs JavaScript.",
    "zh": "这个工具在你的浏览器里运行，需要 JavaScript。",
}


class Explorer(Directive):
    """`{explorer} NAME` shows the tool NAME of `explorers.js` with `book/explorers/NAME.json`."""

    required_arguments = 1

    def run(self):
        environment = self.state.document.settings.env
        file = DATA / f"{self.arguments[0]}.json"
        environment.note_dependency(str(file))
        data = json.dumps(json.loads(file.read_text(encoding="utf-8")), ensure_ascii=False, separators=(",", ":"))
        words = WITHOUT[language(environment.config)]
        html = (
            f'<div class="explorer" data-explorer="{file.stem}"><p>{words}</p>'
            f'<script type="application/json">{data.replace("<", chr(92) + "u003c")}</script></div>'
        )
        return [nodes.raw("", html, format="html")]


def setup(app):
    """Sphinx's entry point."""
    app.add_directive("explorer", Explorer)
    app.add_js_file("explorers.js", loading_method="defer")
    app.add_css_file("explorers.css")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
