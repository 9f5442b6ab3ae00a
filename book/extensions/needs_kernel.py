"""A widget that only a running kernel can move becomes a sentence that says so, instead of an empty box.

The scripts that would draw it come from elsewhere and could still not run its Python; they are left out with its state.
"""

import json

from docutils import nodes
from languages import language
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.transforms.post_transforms import SphinxPostTransform

MARK = "application/vnd.jupyter.widget-"
SHOWN = {"HTMLModel", "LabelModel", "ImageModel", "OutputModel", "BoxModel", "HBoxModel", "VBoxModel"}
SHOWN |= {"FloatProgressModel", "IntProgressModel"}
SENTENCE = {
    "en": "Here is a part that you can use: it needs Python behind it, so it works in JupyterLab and not on this page. "
    "Start it with make lab and open this page there.",
    "zh": "这里有一个可以操作的控件：它要靠背后的 Python 内核，所以只能在 JupyterLab 里使用，在本页上不能。"
    "请用 make lab 启动 JupyterLab，再打开本页。",
}


def can_be_used(model: str, models: dict) -> bool:
    """Whether a widget, or one inside it, is more than something shown: a bar that has run needs no sentence."""
    if model not in models:
        return True
    inside = [child.removeprefix("IPY_MODEL_") for child in models[model]["state"].get("children", [])]
    return models[model]["model_name"] not in SHOWN or any(can_be_used(child, models) for child in inside)


class SayItNeedsAKernel(SphinxPostTransform):
    """Replaces the view of each widget that a reader could use, and drops that of the others."""

    default_priority = 200

    def run(self, **kwargs) -> None:
        """Change the tree in place."""
        sentence = SENTENCE[language(self.config)]
        scripts = NbMetadataCollector.get_js_files(self.env, self.env.docname)
        models = json.loads(scripts["ipywidgets_state"][1]["body"])["state"] if "ipywidgets_state" in scripts else {}
        for raw in [raw for raw in self.document.findall(nodes.raw) if MARK in raw.astext()]:
            view = json.loads(raw.astext().split(">", 1)[1].rsplit("</script>", 1)[0])
            view = json.loads(view) if isinstance(view, str) else view
            note = nodes.container("", nodes.paragraph("", sentence), classes=["needs-kernel"])
            raw.parent.replace(raw, [note] if can_be_used(view["model_id"], models) else [])


def _drop_state(app, pagename, templatename, context, doctree):
    def wanted(script) -> bool:
        return MARK not in ((getattr(script, "attributes", None) or {}).get("type") or "")

    context["script_files"] = [script for script in context.get("script_files") or [] if wanted(script)]


def setup(app):
    """Sphinx's entry point."""
    app.add_post_transform(SayItNeedsAKernel)
    app.connect("html-page-context", _drop_state, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
