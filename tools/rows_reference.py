"""Writes the table of docs/rows.md from the golden files in tests/data/layouts/golden, or checks that it is up to date.

python tools/rows_reference.py [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from schemas.sections.data import DataConfig  # noqa: E402
from tasks.answers.contract import Breach  # noqa: E402
from tasks.data.checking.reasons import REASONS  # noqa: E402
from tasks.data.layouts.converting import Converter  # noqa: E402
from tasks.data.layouts.layouts import detected  # noqa: E402
from tasks.data.layouts.ledger import Ledger  # noqa: E402
from tasks.data.reading.fetching import as_line  # noqa: E402
from tasks.data.reading.records import read_records  # noqa: E402

PAGE = ROOT / "docs" / "rows.md"
GOLDEN = ROOT / "tests" / "data" / "layouts" / "golden"
BEGIN = "<!-- Made by `make reference-write` from tests/data/layouts/golden; do not edit below. -->\n"
LONGEST = 230  # characters of an example


def main(arguments: list[str]) -> int:
    """Write the tables, or compare them; return 1 when they are out of date."""
    head = PAGE.read_text(encoding="utf-8").partition(BEGIN)[0]
    text = f"{head}{BEGIN}\n" + "\n".join([*_read(), "", *_refused()]) + "\n"
    if "--check" not in arguments:
        PAGE.write_text(text, encoding="utf-8")
        print(f"{PAGE.relative_to(ROOT)} written")
        return 0
    is_fresh = PAGE.read_text(encoding="utf-8") == text
    told = "up to date" if is_fresh else "out of date; run: make reference-write"
    print(f"docs/rows.md is {told}", file=sys.stdout if is_fresh else sys.stderr)
    return 0 if is_fresh else 1


def _read() -> Iterator[str]:
    yield from ("| Layout | Detected as | What is read | Not read | Example |", "|---|---|---|---|---|")
    for path in sorted((GOLDEN / "read").iterdir()):
        data = DataConfig(source=path.name)
        records = [record for _, record in read_records(path, path.suffix) if isinstance(record, dict)]
        layout = detected(records, data)
        convert, ledger = Converter(layout, data), Ledger(data, as_line)
        ledger.note(records, convert, {})
        found = [column for column in ledger.columns if "[]" not in column["column"]]
        read = [f"`{column['column']}` as {column['became'][6:]}" for column in found if column["became"][:4] == "read"]
        rest = [f"`{column['column']}`" for column in found if column["became"] == "not read"]
        yield _line(path.stem.replace("-", " "), layout.in_words, ", ".join(read), ", ".join(rest), _example(path))


def _refused() -> Iterator[str]:
    yield from ("| Refused as | Why | What to do | Example |", "|---|---|---|---|")
    for path in sorted((GOLDEN / "refused").iterdir()):
        data = DataConfig(source=path.name)
        record = next(record for _, record in read_records(path, path.suffix))
        found = record if isinstance(record, Breach) else Converter(detected([record], data), data)(record)
        if not isinstance(found, Breach):
            raise SystemExit(f"{path.name} is read")
        yield _line(f"`{found.reason}`", found.detail, REASONS[found.reason].mend, _example(path))


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _example(path: Path) -> str:
    text = " ".join(path.read_text(encoding="utf-8-sig").split())
    return f"`{text[:LONGEST]}{'…' if len(text) > LONGEST else ''}`"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
