"""The prompt, proven equal: token ids as trained, as exported, as LMDeploy feeds its engine, as Meta writes them."""

from .cases import Row, cases, first_difference
from .comparing import as_exported, compare, exported_or_like_it, special_tokens, trained_rows_with_marks
from .showing import as_dicts, as_html, side_by_side, summary, table
from .sources import EXPORTED, META, SERVED, TRAINED, as_trained, exported, metas, served

__all__ = [
    "EXPORTED",
    "META",
    "SERVED",
    "TRAINED",
    "Row",
    "as_dicts",
    "as_exported",
    "as_html",
    "as_trained",
    "cases",
    "compare",
    "exported",
    "exported_or_like_it",
    "first_difference",
    "metas",
    "served",
    "side_by_side",
    "special_tokens",
    "summary",
    "table",
    "trained_rows_with_marks",
]
