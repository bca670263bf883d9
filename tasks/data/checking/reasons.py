"""Every reason for which a row is taken out or noted: the default action, which data.checks can change, and the fix."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """The default action on a row (refuse, drop, note or mask), and how its owner can fix it (`mend`)."""

    action: str
    mend: str


REASONS = {
    "malformed_row": Reason(
        "refuse",
        "Write it as one JSON object per line, or with as many fields as the header; data.separator names a separator.",
    ),
    "wrong_encoding": Reason(
        "refuse", "Save the file as UTF-8, or name its encoding in data.encoding, such as cp1252."
    ),
    "missing_field": Reason("refuse", "Add the field, or set data.layout, data.prompt and data.completion."),
    "not_text": Reason("refuse", "Write the value as text, also for JSON answers."),
    "wrong_roles": Reason("refuse", "Make the user's turn first and the assistant's last."),
    "empty_turn": Reason("refuse", "Fill in the earlier turn, or remove it together with its answer."),
    "missing_group": Reason("refuse", "Set the row's group, or remove data.group."),
    "missing_time": Reason("refuse", "Set the row's time, as in 2026-01-31 or 2026-01-31T09:30."),
    "secret": Reason("refuse", "Remove it and revoke it where it is valid, or set the action to mask."),
    "card_number": Reason("refuse", "Remove it, or set the action to mask."),
    "iban": Reason("note", "Remove it, or set the action to mask."),
    "email_address": Reason("note", "Remove it, or set the action to mask."),
    "phone_number": Reason("note", "Remove it, or set the action to mask."),
    "empty_prompt": Reason("refuse", "Write the request, or remove the row."),
    "empty_answer": Reason("refuse", "Write the answer, or remove the row."),
    "control_characters": Reason("refuse", "Remove the characters; they often come from a faulty export."),
    "answer_too_long": Reason("refuse", "Shorten the answer, or raise task.answer.max_characters."),
    "answer_breaks_pattern": Reason("refuse", "Fix the answer, or task.answer.pattern."),
    "answer_not_a_label": Reason(
        "refuse",
        "Spell the label as in task.answer.labels, or add it there; where answers are numbers of classes, name the "
        "classes in data.labels.",
    ),
    "answer_not_json": Reason("refuse", "Write the answer as one JSON object and nothing else."),
    "answer_breaks_schema": Reason("refuse", "Fix the answer, or the JSON Schema."),
    "answer_does_not_run": Reason(
        "refuse", "Fix the query; it has to be one SELECT that runs on task.answer.database."
    ),
    "answer_gives_no_rows": Reason(
        "refuse", "Fix the query; a query that returns no rows cannot be told from a wrong one."
    ),
    "exact_duplicate": Reason("drop", "Nothing to do: the first of the duplicates is kept."),
    "conflicting_answers": Reason("refuse", "Choose one answer, or set the action to note if several are right."),
    "in_held_out": Reason("refuse", "Give the two rows the same group."),
    "near_held_out": Reason(
        "drop", "Nothing to do: the held-out row stays. With the same group for both rows, both could stay."
    ),
    "near_duplicate": Reason(
        "note", "Keep them if they are real requests (they count as one group); drop them if they are copies."
    ),
    "label_doubt": Reason("note", "Compare both rows: one of the labels may be wrong."),
    "own_system_message": Reason(
        "refuse",
        "Use it as task.instruction, set data.system_in_request to put it above the request, or set the action to note "
        "to ignore it.",
    ),
    "placeholder_input": Reason("refuse", "Leave the input empty."),
    "only_an_address": Reason("refuse", "Replace it by the text of the page."),
    "answer_repeats_prompt": Reason("note", "Check that the answer is meant to repeat the request."),
    "speaks_as_ai": Reason("refuse", "Write the answer that a person would give, or remove the row."),
    "refusal": Reason("note", "Keep it if refusing is wanted."),
    "answer_cut_off": Reason("note", "Check that the answer is complete."),
    "tools": Reason(
        "refuse",
        "Set task.answer.format to tool_call where answers call tools; leave such rows out (action drop), or name the "
        "key in data.ignore where no call is wanted.",
    ),
    "preference": Reason(
        "refuse",
        "Set training.objective to dpo, orpo or kto, to learn from both answers, or to sft, to learn the wanted ones "
        "alone; or set the action to drop.",
    ),
    "unwanted_answer": Reason("drop", "Nothing to do: training.objective kto learns from it, and no other."),
    "reasoning_content": Reason("refuse", "Write it as reasoning_content beside the message's content."),
    "reasoning_trace": Reason(
        "refuse",
        "Set base.thinking to on, to learn traces with their answers; or set the action to note, to learn the answers "
        "without them.",
    ),
    "media": Reason("refuse", "Leave such rows out (action drop): only text is read."),
    "unread_context": Reason(
        "refuse", "Name the column as data.input or data.history to have it read, or in data.ignore to leave it out."
    ),
    "weighted": Reason(
        "refuse", "Write a number from 0 to 100, or name the column in data.ignore to learn every row alike."
    ),
    "not_learned": Reason("drop", "Nothing to do: its weight says so; or name the column in data.ignore."),
    "not_labelled": Reason("drop", "Answer it, or ask another teacher: tuneworthy label writes what this one said."),
    "teacher_held_out": Reason(
        "drop", "Answer it yourself, or set data.teacher_held_out to measure agreement with the teacher."
    ),
    "unfilled_placeholder": Reason("refuse", "Fill it in, or set the action to note where the mark itself is wanted."),
    "null_answer": Reason("refuse", "Write the answer, or set the action to note where the word itself is wanted."),
    "constant_answer": Reason("note", "Check the column; there is nothing to learn but this answer."),
    "unlearnable_label": Reason("note", "Add rows of this label, or use another seed (data labels)."),
    "extra_key": Reason("note", "Check whether the key is misspelt; the rest of the row is read."),
    "duplicate_id": Reason("refuse", "Give each row an id of its own, or remove data.id."),
    "other_language": Reason("note", "Keep it if the task covers several languages."),
    "own_check": Reason("refuse", "Fix the row, or the check in data.checks_file."),
    "damaged_encoding": Reason("refuse", "Decode the source again; ftfy.fix_text repairs most cases."),
}
