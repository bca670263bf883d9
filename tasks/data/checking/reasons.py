"""Every reason for which a row is taken out or noted: what is done about it unless data.checks says otherwise, and how
to mend it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """What is done about a row (refuse, drop, note or mask), and what its owner can do."""

    action: str
    mend: str


REASONS = {
    "malformed_row": Reason("refuse", "Write it as one JSON object a line, or with as many fields as the header."),
    "wrong_encoding": Reason("refuse", "Save the file as UTF-8."),
    "missing_field": Reason("refuse", "Give it the field, or set data.layout."),
    "not_text": Reason("refuse", "Write the value as text; JSON answers too."),
    "wrong_roles": Reason("refuse", "Let the user speak first and the assistant last."),
    "empty_turn": Reason("refuse", "Write the earlier turn, or leave it out together with its answer."),
    "missing_group": Reason("refuse", "Name the row's group, or leave data.group out."),
    "secret": Reason("refuse", "Take it out and withdraw it where it is valid, or set the action to mask."),
    "card_number": Reason("refuse", "Take it out, or set the action to mask."),
    "iban": Reason("note", "Take it out, or set the action to mask."),
    "email_address": Reason("note", "Take it out, or set the action to mask."),
    "phone_number": Reason("note", "Take it out, or set the action to mask."),
    "empty_prompt": Reason("refuse", "Write the request, or leave the row out."),
    "empty_answer": Reason("refuse", "Write the answer, or leave the row out."),
    "control_characters": Reason("refuse", "Take the characters out; they often come from a broken export."),
    "answer_too_long": Reason("refuse", "Shorten the answer, or raise task.answer.max_characters."),
    "answer_breaks_pattern": Reason("refuse", "Mend the answer, or task.answer.pattern."),
    "answer_not_a_label": Reason("refuse", "Spell the label as in task.answer.labels, or add it there."),
    "answer_not_json": Reason("refuse", "Write the answer as one JSON object and nothing else."),
    "answer_breaks_schema": Reason("refuse", "Mend the answer, or the JSON Schema."),
    "answer_does_not_run": Reason(
        "refuse", "Mend the query; it has to be one SELECT that runs on task.answer.database."
    ),
    "answer_gives_no_rows": Reason(
        "refuse", "Mend the query or its names; one without rows cannot be told from a wrong one."
    ),
    "exact_duplicate": Reason("drop", "Nothing to do: the first of them is kept."),
    "conflicting_answers": Reason("refuse", "Choose one answer, or set the action to note where several are right."),
    "in_held_out": Reason("refuse", "Give the rows one group."),
    "near_held_out": Reason("note", "Give the rows one group, or set the action to drop."),
    "near_duplicate": Reason("note", "Keep them where they are real requests; drop them where they were copied."),
    "label_doubt": Reason("note", "Look at both rows: one of the labels may be wrong."),
    "own_system_message": Reason("refuse", "Set task.instruction to it, or the action to note to have it passed over."),
    "placeholder_input": Reason("refuse", "Leave the input empty."),
    "only_an_address": Reason("refuse", "Put the page's text in its place."),
    "answer_repeats_prompt": Reason("note", "Check that the answer is meant to be the request."),
    "speaks_as_ai": Reason("refuse", "Write the answer that a person would give, or leave the row out."),
    "refusal": Reason("note", "Keep it where refusing is wanted."),
    "answer_cut_off": Reason("note", "Check that the answer is whole."),
    "extra_key": Reason("note", "Look whether a key is misspelt; the rest of the row is read."),
    "duplicate_id": Reason("refuse", "Give each row an id of its own, or leave data.id out."),
    "other_language": Reason("note", "Keep it where the task is in several languages."),
    "own_check": Reason("refuse", "Mend the row, or the check in data.checks_file."),
    "damaged_encoding": Reason("refuse", "Decode the source again; ftfy.fix_text mends most of it."),
}
