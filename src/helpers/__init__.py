"""Helpers of the book *From Llama to Listener*: one module per noun of the field."""

import sys

__version__ = "0.1.0"

if "ipykernel" in sys.modules:  # a notebook may draw Chinese; a command draws nothing and need not wait for matplotlib
    from .fonts import register

    register()
