"""A widget that only a running kernel can move becomes a sentence that says so, instead of an empty box.

The scripts that would draw it come from elsewhere and could still not run its Python; they are left out with its state.
"""

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

MARK = "application/vnd.jupyter.widget-"
SENTENCE = {
    "en": "Here is a part that you can use: it needs Python behind it, so it works in JupyterLab and not on this page. "
    "Start it with make lab and open this page there.",
    "zh": "这里有一个可以操作的部件：它背后需要运行 Python，所以只能在 JupyterLab 里使用，在本页上不能。"
    "请用 make lab 启动 JupyterLab，再打开本页。",
}


class SayItNeedsAKernel(SphinxPostTransform):
    """Replaces each view of a widget, and drops the page's widget state."""

    default_priority = 200

    def run(self, **kwargs) -> None:
        """Change the tree in place."""
        sentence = SENTENCE["zh" if (self.config.language or "en").startswith("zh") else "en"]
        for raw in list(self.document.findall(nodes.raw)):
            if MARK in raw.astext():
                note = nodes.container(classes=["needs-kernel"])
                note += nodes.paragraph("", sentence)
                raw.replace_self(note)


def _drop_state(app, pagename, templatename, context, doctree):
    def wanted(script) -> bool:
        return MARK not in ((getattr(script, "attributes", None) or {}).get("type") or "")

    context["script_files"] = [script for script in context.get("script_files") or [] if wanted(script)]


def setup(app):
    """Sphinx's entry point."""
    app.add_post_transform(SayItNeedsAKernel)
    app.connect("html-page-context", _drop_state, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
