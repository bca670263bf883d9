"""What every part of a config is: frozen, and strict about its keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict

# Marks a field that says *where* something is or how the work is done, never *what* comes out.
NOT_IN_KEY: JsonDict = {"in_key": False}


class Section(BaseModel):
    """A part of the config: frozen, and a key that it does not know is an error; what was given by mistake, such as a password, is not repeated."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), hide_input_in_errors=True)
