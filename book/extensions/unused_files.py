"""Leave out what no page uses: scripts that would be fetched from elsewhere, and megabytes that only a developer reads.

sphinx-thebe is unused here, and its version 0.3.1 declares a variable twice on every page. MathJax is asked for by a
page whose cell has a LaTeX form beside the table that is shown; a page that shows a formula keeps it.
"""

import shutil
from pathlib import Path

from docutils import nodes

UNUSED = ("_static/**/*.map", "_static/locales", "_static/*webpack-macros.html")


def _drop_scripts(app, pagename, templatename, context, doctree):
    formulas = doctree is not None and any(isinstance(n, nodes.math | nodes.math_block) for n in doctree.findall())

    def wanted(script) -> bool:
        body = (getattr(script, "attributes", None) or {}).get("body", "")
        name = str(getattr(script, "filename", ""))
        thebe = "THEBE_JS_URL" in body or "sphinx-thebe" in name
        return not thebe and ("mathjax" not in name or formulas)

    context["script_files"] = [s for s in context.get("script_files") or [] if wanted(s)]


def _drop_files(app, failed):
    for path in [p for pattern in UNUSED for p in Path(app.outdir).glob(pattern)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def setup(app):
    """Sphinx's entry point."""
    app.connect("html-page-context", _drop_scripts, priority=900)
    app.connect("build-finished", _drop_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
