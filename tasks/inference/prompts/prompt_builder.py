"""The prompt builder: the instruction and a request become messages, with examples as earlier turns and retrieved
passages above the request.

What is the same for every request comes first, so that it is computed once for all of them (tasks/inference/prefix.py):
the instruction, then the fixed examples, and only then what was retrieved for this request. An example beside passages
is shown exactly as a request is, below the passages retrieved for it: a model that sees passages only in the last turn
does not know what to do with them. Passages carry no marks, and nothing is written between them and the request,
because a small model repeats either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tasks.inference.prompts.passages import Passage
from tasks.inference.prompts.rendering import Messages, example_messages, row_messages

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.inference.prompts.search import Search

PASSAGES = "Use these passages where they help:"


@dataclass(frozen=True)
class Request:
    """A request, the turns before it (requests and answers, oldest first), and the JSON list of its tools, if any."""

    prompt: str
    history: tuple[str, ...] = ()
    tools: str | None = None

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
    `top_k` nearest of `passages`, or of `examples` where there are no passages, searched as `language` and
    `search` say, with the vectors in the folder `index` (tasks.inference.prompts.search.Search).
    """

    shots: tuple[Example, ...] = ()
    passages: tuple[Passage, ...] = ()
    examples: tuple[Example, ...] = ()
    top_k: int = 0
    language: str = "en"
    search: str = "bm25"
    index: Path | None = None


class PromptBuilder:
    """Builds the messages of a request in the same way where an arm is measured and where a version is served."""

    def __init__(self, instruction: str, context: PromptContext) -> None:
        self.instruction, self.context = instruction, context
        self.search = _search(context) if context.top_k else None
        self._shots = [self._with_its_passages(shot) for shot in context.shots]

    def build(self, request: Request) -> Messages:
        """Return the conversation of one request; if nothing is found for it, nothing retrieved is shown."""
        return self.show(request, self.nearest(request))

    def nearest(self, request: Request, left_out: Sequence[int] = ()) -> list[int]:
        """Return the places of the passages or examples shown with a request, nearest last, without `left_out`."""
        return self.search.nearest(request.text, self.context.top_k, left_out) if self.search else []

    def show(self, request: Request, found: Sequence[int]) -> Messages:
        """Return the conversation of one request that shows what was found for it."""
        asked = self.asked(request, found)
        system, *turns = row_messages(self.instruction, asked.prompt, asked.history, request.tools)
        return [system, *(message for shot in self._shots for message in shot), *turns]

    def asked(self, request: Request, found: Sequence[int]) -> Request:
        """Return a request with what was found: passages above it, nearest last, or examples before its history."""
        if self.context.passages:
            passages = [self.context.passages[place].text for place in found]
            return replace(request, prompt="\n\n".join([*([PASSAGES] if passages else []), *passages, request.prompt]))
        examples = (self.context.examples[place] for place in found)
        turns = (text for one in examples for text in (*one.request.history, one.request.prompt, one.completion))
        return replace(request, history=(*turns, *request.history))

    def _with_its_passages(self, shot: Example) -> Messages:
        asked = self.asked(shot.request, self.nearest(shot.request))
        return example_messages(asked.prompt, shot.completion, asked.history, asked.tools)


def _search(context: PromptContext) -> Search:
    from tasks.inference.prompts.search import Search  # a version that does not retrieve needs none of its libraries

    texts = [passage.text for passage in context.passages]
    texts = texts or [example.request.text for example in context.examples]
    return Search(texts, context.language, context.search, context.index)
