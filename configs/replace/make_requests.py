"""Make the rows of configs/replace.yaml, the same ones each time: requests without an answer, requests that people
answered, and rows for a stand-in of the model in use.

    python configs/replace/make_requests.py            # requests.jsonl and labelled.jsonl
    python configs/replace/make_requests.py in_use     # in_use.jsonl
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parent
ISSUES = {
    "billing": [
        "the invoice for {month} lists the {thing} twice",
        "you took {number} euros from my card and I only owe half of it",
        "my direct debit for the {thing} came back and now there is a fee",
        "I was promised a discount of {number} percent and the bill does not show it",
        "please send the {month} receipt for the {thing} again, our accountant lost it",
    ],
    "delivery": [
        "the parcel with the {thing} has been in the same depot since {month}",
        "the courier left the {thing} with a neighbour whom nobody knows",
        "tracking says handed over, yet no {thing} is at my door",
        "can the {thing} go to my office instead, number {number} in the same street",
        "only {number} of the boxes came, the one with the {thing} is missing",
    ],
    "returns": [
        "the {thing} is too small and I would like to send it back",
        "where do I find the label to give the {thing} back",
        "I handed in the {thing} in {month} and have not seen the refund",
        "the {thing} arrived scratched, take it back please",
        "may I swap the {thing} for the one with {number} shelves",
    ],
    "account": [
        "the link to set a new password never reaches me",
        "I cannot sign in since I changed my phone in {month}",
        "please delete my profile and the {number} addresses in it",
        "my name is misspelt wherever I log in",
        "somebody else's {thing} shows up among my orders when I log in",
    ],
    "technical": [
        "the {thing} blinks {number} times and turns itself off",
        "since the update in {month} the {thing} does not find the network",
        "there is a smell of burning when the {thing} runs",
        "the display of the {thing} stays black whatever I press",
        "error {number} comes up as soon as I start the {thing}",
    ],
}
URGENCY = {
    "P1": [
        "Nobody here can work until this is solved.",
        "This is dangerous, call me at once.",
        "We stand still, all of us.",
    ],
    "P2": ["I need this by tomorrow.", "It has to be done before the weekend.", "We have guests tonight, so be quick."],
    "P3": ["", "Thank you.", "Please let me know.", "What can be done?"],
    "P4": ["There is no hurry at all.", "Whenever you find the time.", "It can wait until next month."],
}
THINGS = ["lamp", "desk", "router", "kettle", "shelf", "printer", "armchair", "heater", "camera", "mixer", "wardrobe"]
MONTHS = ["January", "March", "April", "June", "August", "October", "December"]
OPENINGS = ["Hello,", "Hi there,", "Good morning,", "To whom it may concern:", "Dear team,", ""]
ASIDES = [
    "I have been a customer for years.",
    "My order is {order}.",
    "I wrote before, in vain.",
    "",
    "",
    "Sorry to bother you.",
]


def rows(seed: int, count: int) -> Iterator[dict[str, str]]:
    """Yield requests with their answers, no request twice."""
    chance, seen = random.Random(seed), set[str]()
    while len(seen) < count:
        queue, priority = chance.choice(list(ISSUES)), chance.choice(list(URGENCY))
        words = {"thing": chance.choice(THINGS), "month": chance.choice(MONTHS), "number": chance.randrange(2, 60)}
        parts = [chance.choice(OPENINGS), chance.choice(ISSUES[queue]) + ".", chance.choice(ASIDES)]
        told = " ".join(part for part in [*parts, chance.choice(URGENCY[priority])] if part)
        request = told.format(**words, order=chance.randrange(10_000, 99_999))
        if request not in seen:
            seen.add(request)
            yield {"prompt": request, "completion": json.dumps({"queue": queue, "priority": priority})}


def write(name: str, lines: Iterator[dict[str, str]]) -> None:
    """Write rows as JSON lines beside this file."""
    (FOLDER / name).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["in_use"]:
        write("in_use.jsonl", rows(3, 700))
    else:
        write("requests.jsonl", ({"prompt": row["prompt"]} for row in rows(1, 500)))
        write("labelled.jsonl", rows(2, 160))
