"""Templates that ask for the time (strftime_now): the sealed base's clock stands still, or rows would differ daily."""

from __future__ import annotations

from datetime import datetime

STANDS_AT = datetime(2026, 1, 1)
DIRECTIVES = ("-d", "-m", "-H", "-I", "-M", "-S", "-j", *"aAbBcdDeFfGHhIjmMpRSTuUVwWxXyYzZ%")


def has_clock(template: str) -> bool:
    """Return whether a template asks for the time, and its clock does not stand still."""
    return "strftime_now" in template and not template.startswith(_macro())


def with_fixed_clock(template: str) -> str:
    """Return a template whose strftime_now always tells the same time; others stay as they are."""
    return _macro() + template if has_clock(template) else template


def _macro() -> str:
    """Return a macro that takes the place of transformers' function, which takes no other clock."""
    told = "".join(f" | replace('%{one}', '{STANDS_AT.strftime(f'%{one}')}')" for one in DIRECTIVES)
    # The line's end goes with the tag before it (trim_blocks), so that the template starts a line as it did.
    return f"{{%- macro strftime_now(format) -%}}{{{{ format{told} }}}}{{%- endmacro %}}\n"
