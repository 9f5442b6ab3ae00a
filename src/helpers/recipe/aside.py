"""Asking a tool in silence: its exits become exceptions, its files and variables go nowhere."""

import argparse
import contextlib
import io
import os
import tempfile
from pathlib import Path
from unittest import mock


class Refused(Exception):
    """What a tool says to arguments that it does not take."""


@contextlib.contextmanager
def raising():
    """argparse says `error:` and exits; here it raises what it says."""

    def error(self, message):
        raise Refused(message)

    with mock.patch.object(argparse.ArgumentParser, "error", error):
        yield


@contextlib.contextmanager
def elsewhere():
    """An empty folder to write into, an environment that is put back."""
    here, environment = Path.cwd(), dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(here)
            os.environ.clear()
            os.environ.update(environment)


@contextlib.contextmanager
def silent():
    """The tools log and warn while they are asked; a reader wants their answer alone."""
    import logging
    import warnings

    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
