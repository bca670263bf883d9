"""The libraries that confirm personal data and secrets: the extra `personal`."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import get_args

from schemas.errors import LibraryMissing
from schemas.sections.data import Personal

LIBRARIES = {
    "phonenumbers": "phonenumberslite",
    "stdnum": "python-stdnum",
    "detect_secrets": "detect-secrets",
}  # package -> what is installed


def missing_libraries() -> list[str]:
    """Return the libraries that are not installed; if one is, rows are not searched for personal data."""
    return [library for package, library in LIBRARIES.items() if importlib.util.find_spec(package) is None]


def require_libraries(checks: Iterable[str]) -> None:
    """Check that the kinds that data.checks names can be searched for.

    Raises:
        LibraryMissing: it names a kind of personal data, and a library is not installed.
    """
    asked, missing = [reason for reason in checks if reason in get_args(Personal)], missing_libraries()
    if asked and missing:
        raise LibraryMissing(
            f"data.checks: {', '.join(asked)} cannot be searched for, because {', '.join(missing)} is not installed. "
            'Install the extra (pip install -e ".[personal]"), or leave these out of data.checks: then rows are not '
            "searched for personal data, and the report says so."
        )
