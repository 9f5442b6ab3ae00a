"""Helpers of the book *From Llama to Listener*: one module per noun of the field."""

__version__ = "0.1.0"
