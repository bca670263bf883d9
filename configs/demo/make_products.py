"""Write products.jsonl out of tickets.jsonl: the same tickets, and only the name of the product as the answer.

python configs/demo/make_products.py           rewrite the file
python configs/demo/make_products.py --check   exit 1 when the file differs
"""

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
FILE = FOLDER / "products.jsonl"


def text() -> str:
    """Return the file's content."""
    tickets = [json.loads(line) for line in (FOLDER / "tickets.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [ticket | {"completion": json.loads(ticket["completion"])["product"] or "none"} for ticket in tickets]
    return "".join(f"{json.dumps(row)}\n" for row in rows)


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(FILE.read_text(encoding="utf-8") != text())
    FILE.write_text(text(), encoding="utf-8")
