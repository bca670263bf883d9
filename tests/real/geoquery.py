"""GeoQuery as rows: ``python tests/real/geoquery.py [OUTFOLDER]`` writes geoquery.jsonl and geography.sqlite (default:
.tuneworthy/geoquery).

The data set is not part of this repository. It is read from the folder that TUNEWORTHY_GEOQUERY names, else
../shared/data/geoquery beside the checkout; it is https://github.com/jkkummerfeld/text2sql-data, commit
5050bad2309a93636ea4788d3660c9202bf11e0e: data/geography.json and data/geography-db.added-in-2020.sqlite. Nothing is
mended here: the gold queries that fail are the data room's to find.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
SOURCE = Path(os.environ.get("TUNEWORTHY_GEOQUERY", SHARED / "geoquery"))
ROWS = "geography.json"
DATABASE = "geography-db.added-in-2020.sqlite"


def rows(source: Path = SOURCE) -> Iterator[dict[str, str]]:
    """Yield each question with its gold query, the template that the query was made from, and the side it has in the
    question split.
    """
    for number, query in enumerate(json.loads((source / ROWS).read_text(encoding="utf-8"))):
        for sentence in query["sentences"]:
            prompt, completion = sentence["text"], query["sql"][0]
            for name, value in sentence["variables"].items():
                prompt, completion = prompt.replace(name, value), completion.replace(name, value)
            yield {
                "prompt": prompt,
                "completion": completion,
                "group": f"template-{number:03}",
                "question_split": sentence["question-split"],
            }


def convert(out: Path, source: Path = SOURCE) -> int:
    """Write geoquery.jsonl and geography.sqlite into `out`; return the number of rows."""
    out.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) for row in rows(source)]
    (out / "geoquery.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    shutil.copyfile(source / DATABASE, out / "geography.sqlite")
    return len(lines)


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".tuneworthy/geoquery")
    print(f"{convert(folder)} rows in {folder / 'geoquery.jsonl'}")
