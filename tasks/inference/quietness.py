"""Keeping libraries that load models from printing."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep progress bars and developer warnings off the terminal; what users need to know goes through the reporter."""
    from transformers.utils import logging as transformers_logging

    before, was_shown = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it recommends an optional package that would fetch code
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        transformers_logging.set_verbosity(before)
        if was_shown:
            transformers_logging.enable_progress_bar()
