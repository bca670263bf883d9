"""Writes the table of docs/bases.md from tests/bases/architectures.py, or checks that it is up to date.

python tools/bases_reference.py [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.bases.architectures import table  # noqa: E402

PAGE = ROOT / "docs" / "bases.md"
BEGIN = "<!-- Made by `make reference-write` from tests/bases/architectures.py; do not edit below. -->\n"


def main(arguments: list[str]) -> int:
    """Write the table, or compare it; return 1 when it is out of date."""
    now = PAGE.read_text(encoding="utf-8")
    text = f"{now.partition(BEGIN)[0]}{BEGIN}\n" + "\n".join(table()) + "\n"
    if "--check" not in arguments:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    print("docs/bases.md is up to date" if now == text else "docs/bases.md is out of date; run: make reference-write")
    return int(now != text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
