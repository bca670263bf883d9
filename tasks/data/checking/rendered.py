"""Every row as the model will see it: rendered, checked and measured before anything is trained or evaluated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from schemas.artifacts import RenderingArtifact
from schemas.errors import DatasetRefused
from schemas.rows import OPTIONAL, with_optional
from tasks.data.checking.refusing import row_numbers
from tasks.data.checking.row_limits import NAMED, SIDES, Limits, cut_off, too_long
from tasks.data.text.redaction import redacted
from tasks.inference.prompts.golden import GoldenRow, seal_golden
from tasks.inference.prompts.prompt_builder import PromptContext
from tasks.inference.prompts.rendering import (
    RenderedRow,
    leading,
    leading_bos,
    render_prompt,
    render_row,
    row_messages,
    template_facts,
)
from tasks.inference.prompts.retrieval_index import with_retrieved

if TYPE_CHECKING:
    from tasks.reuse.stage import WorkDirectory

COUNTED = ("prompt_tokens", "answer_tokens", "control_tokens", "request_tokens", "earlier_tokens")
LENGTHS = {"side": pl.String, "row_id": pl.Int64, **dict.fromkeys(COUNTED, pl.Int64), "weight": pl.Float64}
QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)
GOLDEN_ROWS = 20
SAMPLE_ROWS = 10
EVERY = 500  # rows between two progress reports


def check_rows(
    base: Path,
    data: Path,
    instruction: str,
    limits: Limits,
    workdir: WorkDirectory,
    context: PromptContext | None = None,
) -> RenderingArtifact:
    """Render every train and held-out row, below what is retrieved for it where there is a `context`, write the
    RenderingArtifact's files, and return its facts.

    Raises:
        DatasetRefused: rows cannot be rendered as they are, or are too long; the message names them all.
        ConfigRefused: the base's chat template cannot be used.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(base), trust_remote_code=False, local_files_only=True)
    limits = replace(limits, window=window_of(base, tokenizer))
    sides = [with_optional(pl.read_parquet(data / f"{side}.parquet")).with_columns(side=pl.lit(side)) for side in SIDES]
    rows = pl.concat(sides)
    if context is not None:
        rows = with_retrieved(rows, context)
        shown = rows.filter(pl.col("side") == "train").drop("side")
        shown.drop(name for name in OPTIONAL if shown[name].null_count() == shown.height).write_parquet(
            workdir.out / "train.parquet"
        )
    lengths, problems = _measured(rows, tokenizer, instruction, _text_config(base).get("vocab_size"), limits, workdir)
    problems += too_long(lengths, limits) + cut_off(lengths, limits, workdir.reporter)
    if problems:
        lengths.write_parquet(workdir.folder / "lengths.parquet")
        step = f"The lengths of all rows in tokens: {workdir.folder / 'lengths.parquet'}."
        raise DatasetRefused(
            "\n  ".join([f"The rows cannot be used with this base model, {len(problems)} problems:", *problems, step])
        )
    _write(rows, lengths, tokenizer, instruction, limits, workdir.out)
    facts = _facts(lengths, limits)
    _report(facts, lengths, tokenizer, workdir)
    return facts


def window_of(base: Path, tokenizer: Any) -> int:
    """Return the context window of a base in tokens, prompt and answer together."""
    return int(_text_config(base).get("max_position_embeddings") or tokenizer.model_max_length)


def _text_config(base: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((base / "config.json").read_text(encoding="utf-8"))
    return config.get("text_config") or config


def _measured(
    rows: pl.DataFrame, tokenizer: Any, instruction: str, embeddings: int | None, limits: Limits, workdir: WorkDirectory
) -> tuple[pl.DataFrame, list[str]]:
    """Return the lengths of the rows that can be rendered, and what is wrong with the others."""

    def _tokens(texts: list[str]) -> int:
        return sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts)

    bos, control, lengths, wrong = leading_bos(tokenizer), _control_tokens(tokenizer), [], []
    own = sum(token in control for token in render_prompt(tokenizer, row_messages(instruction, "u")))
    for done, row in enumerate(rows.iter_rows(named=True), 1):
        try:
            rendered = _rendered(row, tokenizer, instruction)
            found = leading(rendered.prompt_ids, tokenizer.bos_token_id)
            if found != bos:
                raise DatasetRefused(f"Its prompt has {found} beginning-of-text tokens, but the base uses {bos}.")
            if len(rendered.answer_ids) < 2:
                raise DatasetRefused("Its answer has no token except the stop token, so there is nothing to learn.")
            if embeddings and max(*rendered.prompt_ids, *rendered.answer_ids) >= embeddings:
                raise DatasetRefused("Its text spells a token of the tokenizer that the model has no embedding for.")
            more = sum(token in control for token in rendered.prompt_ids + rendered.answer_ids[:-1]) - own
            _refuse_rejected(row, tokenizer, instruction, limits)
            asked, earlier = _tokens([*row["history"][::2], row["prompt"]]), _tokens(row["history"][1::2])
            counts = len(rendered.prompt_ids), len(rendered.answer_ids), more, asked, earlier
            lengths.append((row["side"], row["row_id"], *counts, row["weight"]))
        except DatasetRefused as problem:
            wrong.append(f"row {row['row_id']} ({row['side']}): {problem}")
        if done % EVERY == 0 or done == rows.height:
            workdir.reporter.advance(done, rows.height, "rows rendered")
    rest = [f"and {len(wrong) - NAMED} more such rows"] if len(wrong) > NAMED else []
    return pl.DataFrame(lengths, schema=LENGTHS, orient="row"), wrong[:NAMED] + rest


def _rendered(row: dict[str, Any], tokenizer: Any, instruction: str) -> RenderedRow:
    parts = (row[part] for part in ("prompt", "completion", "history", "tools", "trace"))
    return render_row(tokenizer, instruction, *parts)


def _refuse_rejected(row: dict[str, Any], tokenizer: Any, instruction: str, limits: Limits) -> None:
    if row["rejected"] is not None and row["side"] == "train":
        rendered = _rendered({**row, "completion": row["rejected"], "trace": None}, tokenizer, instruction)
        tokens, limit = len(rendered.prompt_ids) + len(rendered.answer_ids), limits.of("train")
        if tokens > limit:
            raise DatasetRefused(f"With its rejected answer it has {tokens} tokens, and {limit} are allowed.")


def _control_tokens(tokenizer: Any) -> frozenset[int]:
    return frozenset(tokenizer.all_special_ids) | {
        token for token, added in tokenizer.added_tokens_decoder.items() if added.special
    }


def _write(
    rows: pl.DataFrame, lengths: pl.DataFrame, tokenizer: Any, instruction: str, limits: Limits, out: Path
) -> None:
    lengths.write_parquet(out / "lengths.parquet", compression="zstd", compression_level=3, statistics=False)
    facts = template_facts(tokenizer)
    report = {
        "window": limits.window,
        "max_length": limits.max_length,
        "leading_bos": leading_bos(tokenizer),
        "stop": facts.stop_text,
        **{side: _distribution(lengths.filter(pl.col("side") == side), limits.of(side)) for side in SIDES},
        "roles": _roles(
            lengths.filter(pl.col("side") == "train"),
            len(tokenizer(instruction, add_special_tokens=False)["input_ids"]),
        ),
    }
    _write_json(report, out / "rendering.json")
    golden = [
        GoldenRow(
            row["side"],
            row["row_id"],
            redacted(row["prompt"]),
            redacted(row["completion"]),
            tuple(map(redacted, row["history"])),
            row["tools"],
            row["trace"] and redacted(row["trace"]),
        )
        for row in _picked(rows, lengths, GOLDEN_ROWS)
    ]
    seal_golden(golden, instruction, tokenizer, out)
    _write_json(list(_masked(_picked(rows, lengths, SAMPLE_ROWS), tokenizer, instruction)), out / "sample.json")


def _distribution(lengths: pl.DataFrame, limit: int) -> dict[str, Any]:
    """Return a side's token counts: sums, quantiles of a row's total and supervised ones, rows a tenth of the limit."""
    tokens = lengths["prompt_tokens"] + lengths["answer_tokens"]
    tenths = ((tokens * 10 - 1) // limit).value_counts().sort("prompt_tokens").rows()
    return {
        "rows": lengths.height,
        "prompt_tokens": int(lengths["prompt_tokens"].sum()),
        "supervised_tokens": int(lengths["answer_tokens"].sum()),
        "rows_with_control_tokens": lengths.filter(pl.col("control_tokens") > 0)["row_id"].to_list(),
        "limit": limit,
        "tokens_at": {f"{share:g}": int(tokens.quantile(share, "nearest") or 0) for share in QUANTILES},
        "supervised_at": {
            f"{share:g}": int(lengths["answer_tokens"].quantile(share, "nearest") or 0) for share in QUANTILES
        },
        "rows_in_tenth_of_limit": {str(tenth): count for tenth, count in tenths},
    }


def _roles(train: pl.DataFrame, instruction_tokens: int) -> dict[str, dict[str, int]]:
    """Return role -> its tokens in train rows, and the supervised ones; apart: the template's, and those by weight."""
    asked, earlier = int(train["prompt_tokens"].sum()), int(train["earlier_tokens"].sum())
    tokens = {"system": instruction_tokens * train.height, "user": int(train["request_tokens"].sum())}
    tokens |= {"assistant, context only": earlier} if earlier else {}
    tokens["template"] = max(0, asked - sum(tokens.values()))
    weighed = train.group_by(pl.col("weight").fill_null(1)).agg(pl.col("answer_tokens").sum()).sort("weight").rows()
    answers = {("assistant" if weight == 1 else f"assistant, weight {weight:g}"): count for weight, count in weighed}
    return {
        **{role: {"tokens": count, "supervised": 0} for role, count in tokens.items()},
        **{role: {"tokens": count, "supervised": count} for role, count in answers.items()},
    }


def _picked(rows: pl.DataFrame, lengths: pl.DataFrame, count: int) -> list[dict[str, Any]]:
    """Return this many rows, evenly spaced from the shortest to the longest, both included."""
    order = lengths.with_columns(tokens=pl.col("prompt_tokens") + pl.col("answer_tokens")).sort(
        "tokens", "side", "row_id"
    )
    last = order.height - 1
    places = sorted({round(step * last / max(1, count - 1)) for step in range(count)})
    return order[places].join(rows, on=["side", "row_id"], how="left", maintain_order="left").to_dicts()


def _masked(rows: list[dict[str, Any]], tokenizer: Any, instruction: str) -> Iterator[dict[str, Any]]:
    """Yield which text of each row is context only and which is supervised, with personal data redacted for display."""
    for row in rows:
        rendered = _rendered(row, tokenizer, instruction)
        read, learned = (
            redacted(tokenizer.decode(ids, skip_special_tokens=False))
            for ids in (rendered.prompt_ids, rendered.answer_ids)
        )
        yield {
            "side": row["side"],
            "row_id": row["row_id"],
            "read": read,
            "supervised": learned,
            "supervised_tokens": len(rendered.answer_ids),
        }


def _write_json(value: Any, path: Path) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _facts(lengths: pl.DataFrame, limits: Limits) -> RenderingArtifact:
    train = lengths.filter(pl.col("side") == "train")
    tokens = train["prompt_tokens"] + train["answer_tokens"]
    return RenderingArtifact(
        rows=lengths.height,
        window=limits.window,
        limit=limits.of("train"),
        median_tokens=int(tokens.quantile(0.5, "nearest") or 0),
        longest_tokens=int(tokens.max() or 0),  # type: ignore[arg-type]
        train_tokens=int(tokens.sum()),
        supervised_tokens=int(train["answer_tokens"].sum()),
    )


def _report(facts: RenderingArtifact, lengths: pl.DataFrame, tokenizer: Any, workdir: WorkDirectory) -> None:
    workdir.reporter.say(f"rendering: {facts.in_words}")
    if leading_bos(tokenizer) == 0 and leading(tokenizer("u")["input_ids"], tokenizer.bos_token_id) == 1:
        own = f"the tokenizer begins a text with {tokenizer.bos_token!r}, but its chat template does not"
        workdir.reporter.say(f"rendering: {own}; rows are rendered as the template does it")
    forged = lengths.filter(pl.col("control_tokens") > 0)["row_id"]
    if forged.len():
        workdir.reporter.say(
            "rendering: text that spells a control token, which the model reads as the token itself, is in "
            f"{row_numbers(forged)}; fix them"
        )
