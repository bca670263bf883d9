"""What every part of a config has in common.

A field marked ``NOT_IN_KEY`` says *where* something is, never *what* it is; the content enters a stage's key as a
digest.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict

NOT_IN_KEY: JsonDict = {"in_key": False}


class Section(BaseModel):
    """A part of the config: frozen, unknown keys refused; an error never repeats its input, which may be a password."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), hide_input_in_errors=True)
