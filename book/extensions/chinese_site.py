"""Build the Chinese site into `_build/html/zh`, after `jupyter-book build .` has built the English one.

Same pages, same settings, same cache of executed notebooks: nothing runs twice. Only the language and the title differ.
"""

import shutil
import sys
from pathlib import Path

from jupyter_book.sphinx import build_sphinx

ROOT = Path(__file__).resolve().parents[2]
CHINESE = {"language": "zh_CN", "html_title": "从 Llama 到倾听者"}


def build(output: Path = ROOT / "_build", strict: bool = True, **settings) -> Path:
    """Build below `output` and return the finished folder.

    Raises SystemExit when Sphinx fails or, if `strict`, warns.
    """
    made = output / "zh" / "html"
    shared = {
        "external_toc_path": "_toc.yml",
        "latex_individualpages": False,
        "nitpicky": strict,
        "nb_execution_cache_path": str(output / ".jupyter_cache"),
    }
    failed = build_sphinx(
        ROOT,
        made,
        noconfig=True,
        path_config=ROOT / "_config.yml",
        confoverrides=shared | CHINESE | settings,
        warningiserror=strict,
        keep_going=True,
    )
    if failed:
        sys.exit(f"The Chinese pages were not built: {failed}")
    place = output / "html" / "zh"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(made, place)
    return place


if __name__ == "__main__":
    build()
