"""What a model is shown beside a request: examples as turns that went before, and passages above the request.

What is the same for every request stands first, so that it is read once for all of them (tasks/inference/prefix.py):
the instruction, the fixed examples, and only then what was retrieved for this request. No word stands between passages
and request: a small model repeats it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.inference.prompts.passages import Passage
from tasks.inference.prompts.rendering import Messages, row_messages, shown_messages

if TYPE_CHECKING:
    from tasks.inference.prompts.search import Search

PASSAGES = "Use these passages where they help:"


@dataclass(frozen=True)
class Request:
    """What is asked, and the turns that went before it: requests and answers, oldest first."""

    prompt: str
    history: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All that was said, a turn a line: what passages and examples are looked for with."""
        return "\n".join([*self.history, self.prompt])


@dataclass(frozen=True)
class Example:
    """A row that may be shown: its request and the answer wanted."""

    request: Request
    completion: str


@dataclass(frozen=True)
class PromptContext:
    """What may be shown: `shots` before every request; for each request the `top_k` nearest of `passages`, or of
    `examples` where there are none.
    """

    shots: tuple[Example, ...] = ()
    passages: tuple[Passage, ...] = ()
    examples: tuple[Example, ...] = ()
    top_k: int = 0


class PromptBuilder:
    """Puts the instruction and a request into messages, with what is shown beside them: the same words where an arm is
    measured and
    where a version answers.
    """

    def __init__(self, instruction: str, shown: PromptContext) -> None:
        self.instruction, self.shown = instruction, shown
        self.search = _search(shown) if shown.top_k else None

    def build(self, request: Request) -> Messages:
        """Return the conversation of one request; one that nothing is found for is asked without any."""
        places = self.search.nearest(request.text, self.shown.top_k) if self.search else []
        if self.shown.passages:
            return conversation(
                self.instruction, self.shown.shots, [self.shown.passages[place] for place in places], request
            )
        return conversation(
            self.instruction, [*self.shown.shots, *(self.shown.examples[place] for place in places)], [], request
        )


def _search(shown: PromptContext) -> Search:
    from tasks.inference.prompts.search import Search  # a version that retrieves nothing needs none of its libraries

    return Search([passage.text for passage in shown.passages] or [example.request.text for example in shown.examples])


def conversation(
    instruction: str, examples: Sequence[Example], passages: Sequence[Passage], request: Request
) -> Messages:
    """Return the messages: the instruction; examples as turns, each with its own history; the request's history; the
    passages and the request.
    """
    system, *asked = row_messages(instruction, with_passages(passages, request.prompt), request.history)
    turns = (
        message
        for example in examples
        for message in shown_messages(example.request.prompt, example.completion, example.request.history)
    )
    return [system, *turns, *asked]


def with_passages(passages: Sequence[Passage], prompt: str) -> str:
    """Return a request below the passages that are shown for it, the nearest one next to it; alone where there are
    none.
    """
    if not passages:
        return prompt
    return "\n\n".join([PASSAGES, *(f"[{passage.document}]\n{passage.text}" for passage in passages), prompt])
