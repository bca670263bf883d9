"""Libraries that load models, kept from talking."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep progress bars and notes to developers off the terminal: what a user should know is told to the reporter."""
    from transformers.utils import logging as told

    before, was_shown = told.get_verbosity(), told.is_progress_bar_enabled()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it asks for an optional package that would fetch code
    told.set_verbosity_error()
    told.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        told.set_verbosity(before)
        if was_shown:
            told.enable_progress_bar()
