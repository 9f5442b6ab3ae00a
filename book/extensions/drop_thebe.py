"""Leave out sphinx-thebe's scripts: unused here, and version 0.3.1 declares its variable twice on every page."""


def _drop(app, pagename, templatename, context, doctree):
    def wanted(script) -> bool:
        body = (getattr(script, "attributes", None) or {}).get("body", "")
        return "THEBE_JS_URL" not in body and "sphinx-thebe" not in str(getattr(script, "filename", ""))

    context["script_files"] = [s for s in context.get("script_files") or [] if wanted(s)]


def setup(app):
    """Sphinx's entry point."""
    app.connect("html-page-context", _drop, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
