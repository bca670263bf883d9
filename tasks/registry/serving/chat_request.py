"""What a client may ask: OpenAI's chat completions, as far as a version can answer as it was measured."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.inference.prompts.prompt_builder import Request


class RequestRefused(Exception):
    """Raised when a request cannot be answered as the version was measured; names the field."""


class Part(BaseModel):
    """A part of a message's content."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """A message of the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]

    @property
    def text(self) -> str:
        """The content as one text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    """What a stream tells beside the text."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """A request for one answer. Fields that say who asks are passed over; what would change the answer is refused."""

    model_config = ConfigDict(extra="allow")
    model: str
    messages: list[Message] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    stop: str | list[str] | None = Field(None, max_length=4)
    n: Literal[1] | None = 1
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = None
    logprobs: bool | None = False
    top_logprobs: int | None = Field(None, ge=0, le=20)

    @property
    def stops(self) -> list[str]:
        """Texts that end the answer."""
        return [self.stop] if isinstance(self.stop, str) else [stop for stop in self.stop or () if stop]

    def most(self, allowed: int) -> int:
        """Return the tokens that the answer may have: what is asked for, and no more than was measured."""
        return min(self.max_completion_tokens or self.max_tokens or allowed, allowed)

    def conversation(self, instruction: str) -> Request:
        """Return the request with the turns before it.

        Raises:
            RequestRefused: the version was not measured on such a conversation.
        """
        if self.temperature:
            raise RequestRefused("temperature: this version was measured with greedy decoding; leave it out, or send 0")
        for name in ("tools", "functions", "response_format", "logit_bias", "audio"):
            if (self.model_extra or {}).get(name):
                raise RequestRefused(f"{name}: is not supported; this version answers as it was measured, without it")
        turns = list(self.messages)
        while turns and turns[0].role in ("system", "developer"):
            given = turns.pop(0).text
            if given.strip() != instruction.strip():
                raise RequestRefused(
                    "messages: this version answers under the instruction that it was tuned with; leave the system "
                    f"message out, or send this one: {instruction}"
                )
        roles = [turn.role for turn in turns]
        if not roles or roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
            raise RequestRefused(
                f"messages: user and assistant have to alternate, from user to user; got {', '.join(roles) or 'none'}"
            )
        return Request(turns[-1].text, tuple(turn.text for turn in turns[:-1]))
