"""Names by which the world calls a row's parts: columns, keys of a message, speakers.

Spelling does not count: "systemInstruction", "system_instruction" and "System Instruction" are one name (`plain`).
"""

from __future__ import annotations

import functools
import re


def words(text: str) -> frozenset[str]:
    """Return the words of a text as a set."""
    return frozenset(text.split())


REQUESTS = words(
    "prompt instruction question query input request text utterance problem sentence ticket message email body review "
    "comment description document goal nl frage anfrage eingabe pregunta entrada demande domanda вопрос 質問 问题"
)
ANSWERS = words(
    "completion answer answers answerkey response output target reply solution sql cypher gold summary translation "
    "antwort ausgabe respuesta salida réponse risposta ответ 回答 答案"
)
LABELS = words("label category intent class clas sentiment topic tag kategorie categoria étiquette")
CONTEXTS = ("input", "context", "passage")
SYSTEMS = ("system", "systemprompt", "systemmessage", "systeminstruction")
CONVERSATIONS = words("messages conversations conversation contents dialogue dialog turns chat thread")

# A message's keys, by what they hold; the first that is there counts.
ROLE_KEYS = ("role", "from", "speaker", "author", "sender", "type", "name")
CONTENT_KEYS = ("content", "value", "text", "message", "parts", "utterance", "body", "data")
ROLE_WORDS = {
    "user": "human user customer client prompter question questioner input prompt query instruction usuario",
    "assistant": "gpt assistant model bot chatbot ai chatgpt gpt4 bing bard claude agent answer output completion "
    "response",
    "system": "system developer",
    "tool": "tool function observation toolresponse toolresult ipython functionresponse tools environment",
    "call": "functioncall toolcall toolcalls tooluse",
}
ROLE_OF = {name: role for role, names in ROLE_WORDS.items() for name in names.split()}

# Reason code -> columns and keys of a message whose meaning is known, and lost where nothing reads them.
LOST = {
    "tools": words("tooluse toolcalls toolcall functioncall functioncalls"),
    "preference": words("chosen rejected"),
    "reasoning_content": words("reasoningcontent reasoning thinking thought thoughts chainofthought cot"),
    "media": words("image images imageurl video videos audio audios inlinedata filedata"),
    "unread_context": words("input context passage history"),
}
LOSS_OF = {name: reason for reason, names in LOST.items() for name in names}
TOOLS, CALLS = words("tools functions"), LOST["tools"] - {"tooluse"}  # what may be called; what is
CHOSEN = words("chosen chosenresponse responsechosen chosenoutput")
REJECTED = words("rejected rejectedresponse rejectedmessages rejectedoutput responserejected")
TRACES = LOST["reasoning_content"]
WEIGHTS = words("weight sampleweight lossweight train trainable trainonturn loss")
CHOICES = words("choices options endings")


@functools.cache
def plain(name: str) -> str:
    """Return a name in lower case without spaces and marks between its words."""
    return re.sub(r"[\s_.-]+", "", name).lower()


def is_filled(value: object) -> bool:
    """Return whether a value says anything: not null, NaN, white space, or an empty list or object."""
    if isinstance(value, str):
        return value.strip() not in ("", "[]", "{}", "null")
    return not (value is None or value in ([], {}) or value != value)
