"""A team's own checks, from a pandera schema in YAML (as `DataFrameSchema.to_yaml` writes it), limited to checks of
single values.

    columns:
      prompt:                              # prompt, completion and group, whatever the source calls them
        str_length: {min_value: 20, max_value: 2000}
      score:                               # any other column of the records, with its dtype
        dtype: Float64
        nullable: true
        in_range: {min_value: 0, max_value: 1, name: score_is_a_share}

Only pandera's built-in checks are allowed: the file runs no code. pandera itself ignores a check that it does not
know; here it is refused.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandera.polars as pa
import polars as pl
import yaml

from schemas.errors import ConfigRefused
from tasks.answers.contract import Breach
from tasks.data.checking.sieve import FINDING

# "3,5" as half of Europe's programs write it; "1,234" may be a thousand, and is no number here.
DECIMAL_COMMA = re.compile(r"^(\s*[-+]?\d+),(\d{1,2}|\d{4,})(?=\s*$)")
CANONICAL = ("prompt", "completion", "group")
KINDS: dict[str, type[pl.DataType]] = {
    "String": pl.String,
    "Int64": pl.Int64,
    "Float64": pl.Float64,
    "Boolean": pl.Boolean,
}
SAMPLES = {"String": "a", "Int64": 1, "Float64": 1.0, "Boolean": True}
# pandera's checks of single values.
CHECKS = (
    "equal_to",
    "not_equal_to",
    "greater_than",
    "greater_than_or_equal_to",
    "less_than",
    "less_than_or_equal_to",
    "in_range",
    "isin",
    "notin",
    "str_contains",
    "str_endswith",
    "str_length",
    "str_matches",
    "str_startswith",
)
ABOUT = ("schema_type", "version", "api", "name", "title", "description")
SETTINGS = ("dtype", "nullable", "required", "title", "description")
OPTIONS = ("name", "error", "ignore_na")


@dataclass(frozen=True)
class OwnColumn:
    """One column to be checked: its dtype (a key of KINDS), whether it may be null or missing, its checks in order."""

    name: str
    kind: str
    is_nullable: bool
    is_required: bool
    checks: tuple[str, ...]


@dataclass(frozen=True)
class OwnChecks:
    """A team's checks, ready to use; `columns` by name."""

    schema: pa.DataFrameSchema
    columns: Mapping[str, OwnColumn]
    canonical: tuple[str, ...]

    @property
    def needed(self) -> dict[str, str]:
        """Setting -> column, for every column of the records that has to be there."""
        own = (column for column in self.columns.values() if column.name not in self.canonical)
        return {f"data.checks_file columns.{column.name}": column.name for column in own if column.is_required}

    def failures(self, rows: pl.DataFrame, records: Sequence[Mapping[str, Any] | Breach]) -> pl.Series:
        """Return what each row fails, such as "score: in_range; lang: isin", or null; unreadable rows are not checked.

        Args:
            rows: the records' rows; need prompt, completion, group and reason.
            records: as they were read, one per row.
        """
        failed: dict[int, list[str]] = defaultdict(list)
        named = {name: self._series(column, rows, records, failed) for name, column in self.columns.items()}
        try:
            self.schema.validate(pl.DataFrame(named), lazy=True)
        except pa.errors.SchemaErrors as fault:
            for column, check, number, place in fault.failure_cases.select(
                "column", "check", "check_number", "index"
            ).iter_rows():
                failed[place].append(f"{column}: {check if number is None else self.columns[column].checks[number]}")
        readable = rows["reason"].is_null()
        return pl.Series(
            "own",
            [
                "; ".join(failed[place]) if is_read and place in failed else None
                for place, is_read in enumerate(readable)
            ],
            dtype=pl.String,
        )

    def _series(
        self,
        column: OwnColumn,
        rows: pl.DataFrame,
        records: Sequence[Mapping[str, Any] | Breach],
        failed: dict[int, list[str]],
    ) -> pl.Series:
        if column.name in self.canonical:
            return rows[column.name]
        values = []
        for place, record in enumerate(records):
            given = None if isinstance(record, Breach) else record.get(column.name)
            values.append(_fitted(given, column.kind))
            if values[-1] is None and given not in (None, ""):
                failed[place].append(f"{column.name}: is not a {column.kind}")
        return pl.Series(column.name, values, dtype=KINDS[column.kind])


def _fitted(value: object, kind: str) -> object:
    """Return a value as this dtype, or None; numbers may be given as text, as CSV files have nothing else."""
    if kind == "String":
        return value if isinstance(value, str) else None
    if kind == "Boolean":
        spelled = {"true": True, "false": False}
        return spelled.get(value.lower()) if isinstance(value, str) else value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(DECIMAL_COMMA.sub(r"\1.\2", value) if isinstance(value, str) else value)
        return number if kind == "Float64" else int(value) if number.is_integer() and abs(number) < 2**63 else None
    except (ValueError, OverflowError):
        return None


def own_findings(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the findings of rows that fail one of the team's checks; needs row_id and own (`OwnChecks.failures`)."""
    return rows.drop_nulls("own").select("row_id", reason=pl.lit("own_check"), detail="own").select(list(FINDING))


def read_own_checks(path: Path, has_group: bool) -> OwnChecks:
    """Return the checks of a file.

    Args:
        path: of the YAML file.
        has_group: data.group is set, so `group` is a column of every row.

    Raises:
        ConfigRefused: it is not YAML, or not such a schema; every problem is named with its line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        yaml.safe_load(text)  # refuses everything but plain values
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise ConfigRefused(f"data.checks_file: {path.name} is not YAML: {' '.join(str(fault).split())}") from None
    reader = _Reader(CANONICAL if has_group else CANONICAL[:2])
    reader.read(root)
    if reader.problems:
        lines = "\n".join(f"  line {line}  {text}" for line, text in sorted(reader.problems))
        raise ConfigRefused(
            f"data.checks_file: {path.name} cannot be used, {len(reader.problems)} "
            f"problem{'s'[: len(reader.problems) > 1]}:\n{lines}"
        )
    schema = pa.DataFrameSchema.from_yaml(yaml.safe_dump({"columns": reader.plain}, sort_keys=False))
    return OwnChecks(schema, reader.columns, reader.canonical)


@dataclass
class _Reader:
    """Reads a file and collects its columns, and its problems as (line, text)."""

    canonical: tuple[str, ...]
    columns: dict[str, OwnColumn] = field(default_factory=dict)
    plain: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[tuple[int, str]] = field(default_factory=list)

    def read(self, root: yaml.Node | None) -> None:
        """Read the whole file."""
        if not isinstance(root, yaml.MappingNode):
            self.problems.append((1, "is not a mapping; it has to begin with `columns:`"))
            return
        line, node = self._keys(root, "", ("columns", *ABOUT)).get("columns", (1, root))
        if node is root or not isinstance(node, yaml.MappingNode) or not node.value:
            self.problems.append((line, "columns: names no column to check"))
            return
        for name, (place, inner) in self._keys(node, "columns.").items():
            self._column(name, place, inner)

    def _column(self, name: str, line: int, node: yaml.Node) -> None:
        where = f"columns.{name}"
        if not isinstance(node, yaml.MappingNode):
            self.problems.append((line, f"{where}: has no checks"))
            return
        found = self._keys(node, f"{where}.", (*SETTINGS, *CHECKS))
        content = {key: yaml.SafeLoader("").construct_document(value) for key, (_, value) in found.items()}
        kind = "String" if name in self.canonical else content.get("dtype")
        if not isinstance(kind, str) or kind not in KINDS or content.get("dtype", kind) != kind:
            line = found["dtype"][0] if "dtype" in found else line
            self.problems.append(
                (line, f"{where}.dtype: must be {'String' if name in self.canonical else ', '.join(KINDS)}")
            )
            return
        settings = {key: content.get(key, default) for key, default in (("nullable", False), ("required", True))}
        self.problems += [
            (found[key][0], f"{where}.{key}: must be true or false")
            for key, value in settings.items()
            if not isinstance(value, bool)
        ]
        checks = {key: content[key] for key in found if key in CHECKS}
        for check, value in checks.items():
            self._check(f"{where}.{check}", found[check][0], kind, check, value)
        labels = tuple(
            str(value.get("name", check)) if isinstance(value, dict) else check for check, value in checks.items()
        )
        self.columns[name] = OwnColumn(name, kind, bool(settings["nullable"]), bool(settings["required"]), labels)
        self.plain[name] = {"dtype": kind, "nullable": bool(settings["nullable"]), **checks}

    def _check(self, where: str, line: int, kind: str, check: str, value: Any) -> None:
        """Try a check on a value of the column's dtype."""
        known = [
            name for name in inspect.signature(getattr(pa.Check, check)).parameters if name not in ("args", "kwargs")
        ]
        unknown = [key for key in value if key not in (*known, *OPTIONS, "value")] if isinstance(value, dict) else []
        if unknown:
            self.problems.append(
                (line, f"{where}: has no argument {', '.join(map(repr, unknown))}{_nearest(str(unknown[0]), known)}")
            )
            return
        try:
            schema = pa.DataFrameSchema.from_yaml(yaml.safe_dump({"columns": {"c": {"dtype": kind, check: value}}}))
            schema.validate(pl.DataFrame({"c": [SAMPLES[kind]]}, schema={"c": KINDS[kind]}), lazy=True)
        except pa.errors.SchemaErrors as fault:
            broken = fault.failure_cases.filter(pl.col("index").is_null())["failure_case"].to_list()
            self.problems += (
                [(line, f"{where}: cannot be used: {str(broken[0]).splitlines()[0][:200]}")] if broken else []
            )
        except Exception as fault:  # noqa: BLE001 - pandera's checks raise whatever their arguments lead to
            self.problems.append((line, f"{where}: {str(fault).splitlines()[0][:200]}"))

    def _keys(
        self, node: yaml.Node, where: str, known: Iterable[str] | None = None
    ) -> dict[str, tuple[int, yaml.Node]]:
        """Return the keys of a mapping with their lines and values; an unknown or repeated key is a problem."""
        found: dict[str, tuple[int, yaml.Node]] = {}
        for key, value in node.value:
            line, name = key.start_mark.line + 1, str(key.value)
            if name in found:
                self.problems.append((line, f"{where}{name}: appears twice"))
            elif known is not None and name not in known:
                self.problems.append((line, f"{where}{name}: no such check or setting{_nearest(name, known)}"))
            else:
                found[name] = (line, value)
        return found


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else f"; allowed are {', '.join(known)}"
