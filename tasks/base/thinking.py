"""Whether a base thinks before it answers, settled in its chat template: all that renders with it does it alike."""

from __future__ import annotations

from typing import Any

from tasks.inference.prompts.rendering import PINNED

# Set before anything else in the template; what a caller passes does not count then.
HEADS = {
    "off": "",
    "on": "{%- set enable_thinking = true %}{%- set thinking = true %}",
    "keep": "{%- set enable_thinking = left_to_the_template %}",  # a name that nobody defines
}
CLOSED = "{% if add_generation_prompt %}{{ '\\n</think>\\n\\n' }}{% endif %}"


def settled(tokenizer: Any, thinking: str) -> str:
    """Return the chat template with base.thinking settled: "off" also closes a trace that it always opens."""
    template = str(tokenizer.get_chat_template())
    asked = [{"role": "user", "content": "u"}]
    text = str(tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True, **PINNED))
    is_open = text.rstrip().endswith("<think>")
    return HEADS[thinking] + (template.removesuffix("\n") + CLOSED if is_open and thinking == "off" else template)
