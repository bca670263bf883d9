"""The prompt builder: the instruction and a request become messages, with examples as earlier turns and retrieved
passages above the request.

What is the same for every request comes first, so that it is computed once for all of them (tasks/inference/prefix.py):
the instruction, then the fixed examples, and only then what was retrieved for this request. Nothing is written between
the passages and the request, because a small model repeats it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.inference.prompts.passages import Passage
from tasks.inference.prompts.rendering import Messages, example_messages, row_messages

if TYPE_CHECKING:
    from tasks.inference.prompts.search import Search

PASSAGES = "Use these passages where they help:"


@dataclass(frozen=True)
class Request:
    """A request, and the turns before it: requests and answers, oldest first."""

    prompt: str
    history: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All turns, one per line: the query for passages and examples."""
        return "\n".join([*self.history, self.prompt])


@dataclass(frozen=True)
class Example:
    """A row that may be shown: its request and the reference answer."""

    request: Request
    completion: str


@dataclass(frozen=True)
class PromptContext:
    """What prompts are built from beside the request: `shots` come before every request, and for each request the
    `top_k` nearest of `passages`, or of `examples` where there are no passages.
    """

    shots: tuple[Example, ...] = ()
    passages: tuple[Passage, ...] = ()
    examples: tuple[Example, ...] = ()
    top_k: int = 0


class PromptBuilder:
    """Builds the messages of a request in the same way where an arm is measured and where a version is served."""

    def __init__(self, instruction: str, context: PromptContext) -> None:
        self.instruction, self.context = instruction, context
        self.search = _search(context) if context.top_k else None

    def build(self, request: Request) -> Messages:
        """Return the conversation of one request; if nothing is found for it, nothing retrieved is shown."""
        found = self.search.nearest(request.text, self.context.top_k) if self.search else []
        if self.context.passages:
            passages = [self.context.passages[place] for place in found]
            return conversation(self.instruction, self.context.shots, passages, request)
        examples = [self.context.examples[place] for place in found]
        return conversation(self.instruction, [*self.context.shots, *examples], [], request)


def _search(context: PromptContext) -> Search:
    from tasks.inference.prompts.search import Search  # a version that does not retrieve needs none of its libraries

    texts = [passage.text for passage in context.passages]
    return Search(texts or [example.request.text for example in context.examples])


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
        for message in example_messages(example.request.prompt, example.completion, example.request.history)
    )
    return [system, *turns, *asked]


def with_passages(passages: Sequence[Passage], prompt: str) -> str:
    """Return a request below its passages, the nearest one right above it; without passages, the request alone."""
    if not passages:
        return prompt
    return "\n\n".join([PASSAGES, *(f"[{passage.document}]\n{passage.text}" for passage in passages), prompt])
