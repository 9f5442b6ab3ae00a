"""Serving a model with LMDeploy. In reading order: `command`, `client`, `server`, `proxy`, `terminal` (the verb).

What the page shows: `faults`, `metrics`, `budget`, `load`, `failover`, `recorded`, and `stage`, which makes the record.
"""

from .client import QUESTION, Endpoint, ask, messages, status, stream
from .command import has_gpu, serve_command
from .server import STAND_IN, is_free, serve

__all__ = [
    "QUESTION",
    "STAND_IN",
    "Endpoint",
    "ask",
    "has_gpu",
    "is_free",
    "messages",
    "serve",
    "serve_command",
    "status",
    "stream",
]
