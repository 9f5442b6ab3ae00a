"""The one exception a reader is meant to see."""


class UserError(Exception):
    """One clear sentence: what is wrong, where, and what to do. The command line prints it and exits with 1."""

    def _render_traceback_(self):
        """Show the sentence alone in a notebook (IPython's hook); a traceback would bury it."""
        return [f"{type(self).__name__}: {self}"]
