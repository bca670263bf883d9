"""Which column is the request, the answer, the group, the id. What names and values leave open is asked."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.data.drafting.columns import Column
from tasks.data.drafting.guesses import Guess, Notes, Wishes, quoted
from tasks.data.layouts.known_names import ANSWERS, LABELS, REQUESTS, words

GROUPS = words(
    "group template session conversation dialogue dialog thread scenario cluster customer user author article passage "
    "document doc gruppe vorlage sitzung"
)
TELLING = words("instruction system task")  # names of a column that says the same to every request
IDS = frozenset({"id", "uid", "uuid", "guid"})
PROMPT = "The column with the request."
COMPLETION = "The column with the answer wanted: what is learned, and what answers are compared with."
GROUP = "Rows of one group never stand on both sides of the split."
MOST_LISTED = 20  # columns in a question
LARGEST_GROUP = 0.5  # share of the rows; a larger group leaves too little for the other side
FEWEST_GROUPS = 5


@dataclass(frozen=True)
class Roles:
    """The columns of the layout prompt_completion and how they were told."""

    prompt: Guess
    completion: Guess


def find_roles(columns: list[Column], wishes: Wishes, notes: Notes) -> Roles | None:
    """Return the request's and the answer's column, or None with a question for each that only the user can tell."""
    texts = [column for column in columns if column.is_telling]
    asked = _wished("prompt", wishes.prompt, columns, notes)
    answered = _wished("completion", wishes.completion, columns, notes)
    if notes.questions:
        return None
    left = [column for column in texts if column.name not in (wishes.prompt, wishes.completion)]
    if answered is None:
        answered = _answer(left, wishes.prompt is not None)
    left = [column for column in left if answered is None or column.name != answered.value]
    if asked is None:
        asked = _request(left, answered is not None)
    if answered is None and asked is not None:  # the request is known by now: is there one column left?
        answered = _only([column for column in left if column.name != asked.value], "completion")
    for role, guess in (("prompt", asked), ("completion", answered)):
        if guess is None:
            notes.questions.append(_question(role, columns, [asked, answered]))
    return None if asked is None or answered is None else Roles(asked, answered)


def _wished(role: str, name: str | None, columns: list[Column], notes: Notes) -> Guess | None:
    if name is None:
        return None
    if name not in [column.name for column in columns]:
        notes.questions.append(
            f"There is no column {name!r}. Which one did you mean by --{role}? There are: "
            f"{quoted([column.name for column in columns])}."
        )
    effect = {"prompt": PROMPT, "completion": COMPLETION, "group": GROUP}[role]
    return Guess(f"data.{role}", name, f"named by --{role}", effect)


def _answer(texts: list[Column], is_request_known: bool) -> Guess | None:
    machine = [column for column in texts if column.is_sql or column.is_json]
    exact = [column for column in texts if column.name.lower().strip() in ANSWERS]
    named = [column for column in texts if column.head in ANSWERS | LABELS]
    if len(machine) == 1:
        why = f"it holds {'SQL' if machine[0].is_sql else 'JSON objects'}"
        return Guess("data.completion", machine[0].name, why, COMPLETION)
    if len(exact) == 1 or len(named) == 1:
        found = (exact if len(exact) == 1 else named)[0]
        others = [column.name for column in named if column is not found]
        could = f"; {quoted(others)} could be it too: --completion COLUMN" if others else ""
        return Guess("data.completion", found.name, f"by its name{could}", COMPLETION)
    labels = [column for column in texts if column.is_labels]
    if not named and len(labels) == 1 and len(texts) == (1 if is_request_known else 2):
        why = f"{labels[0].distinct} short values that come again: labels"
        return Guess("data.completion", labels[0].name, why, COMPLETION)
    return _only(texts, "completion") if is_request_known else None


def _request(texts: list[Column], is_answer_known: bool) -> Guess | None:
    able = [column for column in texts if not (column.is_sql or column.is_json or column.is_mark)]
    exact = [column for column in able if column.name.lower().strip() in REQUESTS]
    named = [column for column in able if column.head in REQUESTS]
    for found in (exact, named):
        if len(found) == 1:
            return Guess("data.prompt", found[0].name, "by its name", PROMPT)
    return _only(able, "prompt") if is_answer_known and not named else None


def _only(texts: list[Column], role: str) -> Guess | None:
    able = [column for column in texts if not column.is_mark]
    effect = PROMPT if role == "prompt" else COMPLETION
    return Guess(f"data.{role}", able[0].name, "the only other column of text", effect) if len(able) == 1 else None


def _question(role: str, columns: list[Column], known: list[Guess | None]) -> str:
    taken = [guess.value for guess in known if guess]
    what = "the request" if role == "prompt" else "the answer wanted"
    left = [column for column in columns if column.name not in taken]
    able = [column for column in left if column.is_telling and not (role == "prompt" and column.is_mark)]
    if able:
        return f"Which column is {what}? (--{role} COLUMN){_listed(able)}"
    return (
        f"Where is {what}? It has to be text in a column of its own, and no column is: write it into one, a row for "
        f"each request, and name it. (--{role} COLUMN){_listed(left)}"
    )


def _listed(columns: list[Column]) -> str:
    return "".join(f"\n       {column.in_words}" for column in columns[:MOST_LISTED])


def find_group(columns: list[Column], wishes: Wishes, rows: int, notes: Notes) -> Guess | None:
    """Return the column whose rows belong together, if its name and values say so; several are a question."""
    if wishes.group == "":
        return None
    if wishes.group is not None:
        return _wished("group", wishes.group, columns, notes)
    able = [column for column in columns if _is_group(column, rows)]
    if len(able) > 1:
        notes.questions.append(
            "Which column says which rows belong together, so that none of a group is measured after training on "
            f'others of it? (--group COLUMN, or --group "" for none){_listed(able)}'
        )
    if len(able) != 1:
        return None
    return Guess("data.group", able[0].name, f"by its name; {able[0].distinct:,} groups in {rows:,} rows", GROUP)


def _is_group(column: Column, rows: int) -> bool:
    owner = column.words[-2] if column.head in IDS and len(column.words) > 1 else column.head
    return (
        column.kind in ("text", "number")
        and owner in GROUPS
        and column.filled == 1
        and FEWEST_GROUPS <= column.distinct < rows
        and column.largest <= LARGEST_GROUP
    )


def find_id(columns: list[Column], rows: int) -> Guess | None:
    """Return the column that names each row, if there is one."""
    full = (one for one in columns if one.kind in ("text", "number") and one.filled == 1 and one.distinct == rows)
    found = next((column.name for column in full if column.head in IDS), None)
    effect = "A row whose id an earlier one has is refused."
    return Guess("data.id", found, "a different value in every row", effect) if found else None


def constant_instruction(columns: list[Column], taken: list[str]) -> str | None:
    """Return the column that says the same to every request, if one is named like it."""
    able = [column.name for column in columns if column.distinct == 1 and column.filled == 1 and column.kind == "text"]
    return next((name for name in able if name.lower() in TELLING and name not in taken), None)
