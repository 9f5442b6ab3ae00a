"""A merge, proven: in its files, in each weight, and in what the model says next."""

from . import folder, predictions, weights

__all__ = ["folder", "predictions", "weights"]
