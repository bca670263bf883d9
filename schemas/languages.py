"""What a search index can be built for."""

from __future__ import annotations

from typing import Literal

# Two ways that need no language, and the languages with a stemmer (tasks/inference/prompts/search.py).
IndexLanguage = Literal[
    "none", "characters",
    "ar", "ca", "cs", "da", "de", "el", "en", "es", "et", "eu", "fa", "fi", "fr", "ga", "hi", "hu", "hy", "id",
    "it", "lt", "ne", "nl", "no", "pl", "pt", "ro", "ru", "sr", "sv", "ta", "tr", "yi",
]  # fmt: skip
