"""What every part of a config has in common.

A field marked ``NOT_IN_KEY`` says *where* something is, never *what* it is; the content enters a stage's key as a
digest.
"""

from __future__ import annotations

from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.config import JsonDict

NOT_IN_KEY: JsonDict = {"in_key": False}


class Section(BaseModel):
    """A part of the config: frozen, unknown keys refused; an error never repeats its input, which may be a password."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def one_is_a_list_of_one(cls, values: Any) -> Any:
        """Take one text where a list of them is asked for."""
        if not isinstance(values, dict):
            return values
        lists = {
            name
            for name, field in cls.model_fields.items()
            if any(get_origin(kind) is tuple for kind in (field.annotation, *get_args(field.annotation)))
        }
        return {name: (one,) if name in lists and isinstance(one, str) else one for name, one in values.items()}
