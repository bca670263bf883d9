"""Where the rows are, how they are read, and what is checked on them."""

from __future__ import annotations

import codecs
from datetime import datetime
from typing import Literal, get_args

from pydantic import Field, field_validator, model_validator

from schemas.addresses import BELONG, faults_of, kind_of
from schemas.sections.section import NOT_IN_KEY
from schemas.sections.teaching import Teaching

Action = Literal["refuse", "drop", "note", "mask"]
Personal = Literal["secret", "card_number", "iban", "email_address", "phone_number"]
# Reasons whose rows cannot be kept: there is no row, or no answer to learn.
Unreadable = Literal[
    "malformed_row",
    "wrong_encoding",
    "missing_field",
    "not_text",
    "wrong_roles",
    "empty_turn",
    "missing_group",
    "missing_time",
    "empty_prompt",
    "empty_answer",
    "tools",
    "preference",
    "reasoning_content",
    "media",
    "unread_context",
    "weighted",
    "not_learned",
    "not_labelled",
    "unwanted_answer",
]
Doubtful = Literal[
    "control_characters",
    "answer_too_long",
    "answer_breaks_pattern",
    "answer_not_a_label",
    "answer_not_json",
    "answer_breaks_schema",
    "answer_does_not_run",
    "answer_gives_no_rows",
    "exact_duplicate",
    "conflicting_answers",
    "in_held_out",
    "near_held_out",
    "near_duplicate",
    "label_doubt",
    "own_system_message",
    "placeholder_input",
    "only_an_address",
    "answer_repeats_prompt",
    "speaks_as_ai",
    "refusal",
    "answer_cut_off",
    "damaged_encoding",
    "extra_key",
    "duplicate_id",
    "other_language",
    "own_check",
    "reasoning_trace",
    "unfilled_placeholder",
    "null_answer",
    "constant_answer",
    "unlearnable_label",
    "teacher_held_out",
]


class DataConfig(Teaching):
    """Where the rows are, and what is required of them."""

    source: str = Field(
        min_length=1,
        description="Files (path or glob relative to the config file: jsonl, csv, parquet), a database (SQLAlchemy URL "
        "without password, with `query`), or a dataset on the Hugging Face hub (hub://OWNER/NAME, with `revision`).",
        json_schema_extra=NOT_IN_KEY,
    )
    query: str | None = Field(
        None,
        min_length=1,
        description="SELECT that gives the rows, for a database. Its result is fetched whenever a run or a plan "
        "starts, as only the rows themselves show whether they changed.",
        json_schema_extra=NOT_IN_KEY,
    )
    password: str | None = Field(
        None,
        description="Where the database's password is kept: env:NAME (environment variable) or prefect:NAME (Secret "
        "block). Never the password itself.",
        json_schema_extra=NOT_IN_KEY,
    )
    revision: str | None = Field(
        None,
        description="Commit of the dataset on the hub, 40 hex digits; required for a dataset on the hub.",
        json_schema_extra=NOT_IN_KEY,
    )
    split: str | None = Field(
        None,
        min_length=1,
        description="Split of the dataset on the hub; train when left out.",
        json_schema_extra=NOT_IN_KEY,
    )
    subset: str | None = Field(
        None,
        min_length=1,
        description="Configuration of the dataset on the hub, where it has several.",
        json_schema_extra=NOT_IN_KEY,
    )
    separator: str | None = Field(
        None,
        min_length=1,
        max_length=1,
        description="Between the fields of CSV files; told from their lines when left out.",
    )
    encoding: str | None = Field(
        None, min_length=1, description="Of text files, such as cp1252 or utf-16; UTF-8 when left out."
    )
    layout: Literal["detected", "prompt_completion", "messages", "alpaca", "sharegpt"] = Field(
        "detected",
        description="How a row holds its request and answer (docs/rows.md); detected from the first rows of each file "
        "when left out.",
    )
    prompt: str | None = Field(
        None, min_length=1, description="Column that holds the request; told by its name when left out."
    )
    completion: str | None = Field(
        None, min_length=1, description="Column that holds the expected answer; told by its name when left out."
    )
    completion_source: str | None = Field(
        None,
        min_length=1,
        description="Text file whose lines are the answers, line by line, where the rows have none; relative to the "
        "config file. The source may then be a text file too, each line of it a request.",
        json_schema_extra=NOT_IN_KEY,
    )
    input: str | None = Field(
        None, min_length=1, description="Column whose text stands below the request, such as a passage."
    )
    system: str | None = Field(None, min_length=1, description="Column that holds a row's own system message.")
    system_in_request: bool = Field(
        False,
        description="A row's own system message stands above its (first) request, in training and in every arm; "
        "otherwise a row whose message differs from task.instruction is refused.",
    )
    history: str | None = Field(None, min_length=1, description="Column that holds the turns before the request.")
    messages: str | None = Field(None, min_length=1, description="Column that holds the turns of a conversation.")
    roles: dict[str, Literal["user", "assistant", "system", "tool"]] = Field(
        default_factory=dict, description="Further names of speakers in conversations -> role."
    )
    labels: tuple[str, ...] | None = Field(
        None, min_length=1, description="Names of the classes, from class 0 on, where answers are numbers of classes."
    )
    ignore: tuple[str, ...] = Field(
        (), description="Columns, and keys of messages, that are left out on purpose, whatever they say."
    )
    group: str | None = Field(
        None,
        description="Column that names a row's group; a group is never on both sides of the split. Without it every "
        "row is its own group. Rows that nearly repeat each other are one group either way (tie_near_duplicates).",
    )
    id: str | None = Field(
        None, min_length=1, description="Column with the id of a row; a row with the id of an earlier one is refused."
    )
    held_out: float = Field(0.2, gt=0, lt=1, description="Share of the groups that is held out for measuring.")
    held_out_source: str | None = Field(
        None,
        min_length=1,
        description="Files of rows that are held out as they are (path or glob, as in source); every row of source is "
        "then a train row, and a group that stands in both is taken out of the train rows.",
        json_schema_extra=NOT_IN_KEY,
    )
    held_out_after: str | None = Field(
        None,
        description="Date or time (ISO 8601): rows from then on are held out, the earlier ones train rows; goes with "
        "`time`.",
    )
    time: str | None = Field(None, min_length=1, description="Column with a row's date or time, for held_out_after.")
    refuse_above: float = Field(
        0.01, ge=0, le=1, description="Share of refused rows above which the whole dataset is refused."
    )
    near_duplicate: float = Field(
        0.8,
        ge=0.5,
        le=1,
        description="Requests whose sets of word trigrams overlap this much (Jaccard) are near-duplicates; text that "
        "many rows share is left out.",
    )
    tie_near_duplicates: bool = Field(
        True,
        description="Near-duplicates are one group, also where `group` names several: on one side of the split, and "
        "one unit in every interval. false: groups are as named, and train rows with a near-duplicate in the held-out "
        "set still leave.",
    )
    checks: dict[Unreadable | Doubtful | Personal, Action] = Field(
        default_factory=dict,
        description="Reason -> refuse (taken out, counted against refuse_above), drop (taken out, not counted) or note "
        "(kept, listed), instead of its default. Personal data (secret, card_number, iban, email_address, "
        "phone_number) may be set to mask: a mark such as [EMAIL] replaces it, in train and held-out rows.",
    )
    checks_file: str | None = Field(
        None,
        min_length=1,
        description="Checks of your own, as a pandera schema in YAML, on prompt, completion and any other column of "
        "the records; relative to the config file.",
        json_schema_extra=NOT_IN_KEY,
    )
    corpus: str | None = Field(
        None,
        description="Documents for the retrieval arms: a folder with all below it, a file or a glob (md, txt, html, "
        "pdf, docx, jsonl). Those that cannot be read are named, and refused above the share `refuse_above`. Without "
        "documents the arms retrieve training examples.",
        json_schema_extra=NOT_IN_KEY,
    )

    @property
    def has_own_sides(self) -> bool:
        """Whether the rows themselves say which are held out, and no draw does."""
        return self.held_out_source is not None or self.held_out_after is not None

    @model_validator(mode="after")
    def source_is_whole(self) -> DataConfig:
        """Refuse a source without a setting that it needs, one of another kind of source, and a password."""
        faults = faults_of(self.source, {name: getattr(self, name) for name in BELONG})
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @field_validator("source", mode="before")
    @classmethod
    def source_is_one_path(cls, source: object) -> object:
        """Refuse a list of files in words."""
        if isinstance(source, list | tuple):
            raise ValueError("is one path or one glob for all files, such as rows/*.jsonl, and no list")
        return source

    @field_validator("encoding")
    @classmethod
    def encoding_is_known(cls, encoding: str | None) -> str | None:
        """Refuse an encoding that Python does not know."""
        try:
            codecs.lookup(encoding or "utf-8")
        except LookupError:
            raise ValueError("is no encoding that Python knows; such as utf-8, utf-16, cp1252, latin-1") from None
        return encoding

    @field_validator("held_out_after", mode="before")
    @classmethod
    def held_out_after_is_a_time(cls, moment: object) -> object:
        """Refuse what is no date or time; YAML makes a date of one without quotes."""
        try:
            return None if moment is None else datetime.fromisoformat(str(moment)).isoformat()
        except ValueError:
            raise ValueError("held_out_after is no date or time, such as 2026-01-31") from None

    @model_validator(mode="after")
    def ignored_columns_are_not_read(self) -> DataConfig:
        """Refuse a column that is to be read and left out."""
        read = (self.prompt, self.completion, self.input, self.system, self.history, self.messages, self.group, self.id)
        both = sorted(set(self.ignore) & set(filter(None, read)))
        if both:
            raise ValueError(f"ignore names {', '.join(both)}, which another setting reads; take it out of one")
        if (self.time is None) != (self.held_out_after is None):
            raise ValueError("time and held_out_after go together: the column with the time, and the time to split at")
        if self.held_out_source and self.time:
            raise ValueError("held_out_source and held_out_after both say what is held out; leave one out")
        if self.completion_source and (self.held_out_source or kind_of(self.source) != "files"):
            raise ValueError("completion_source goes with one file of rows and no held_out_source; leave one out")
        if self.teacher and (self.completion_source or self.messages):
            raise ValueError("teacher answers rows of two columns, so completion_source and messages do not go with it")
        if self.messages and (self.prompt or self.completion):
            raise ValueError(
                "messages names a column of conversations, so prompt and completion name none; leave them out"
            )
        return self

    @model_validator(mode="after")
    def actions_fit_their_reasons(self) -> DataConfig:
        """Refuse to keep rows that cannot be used, and to mask anything but personal data."""
        kept = sorted(
            reason for reason, action in self.checks.items() if action == "note" and reason in get_args(Unreadable)
        )
        if kept:
            raise ValueError(
                f'checks: {", ".join(kept)} cannot be "note", as such a row cannot be used; set "drop" to have it '
                "taken out without being counted"
            )
        whole = sorted(
            reason for reason, action in self.checks.items() if action == "mask" and reason not in get_args(Personal)
        )
        if whole:
            raise ValueError(f'checks: {", ".join(whole)} cannot be "mask"; only {", ".join(get_args(Personal))} can')
        return self
