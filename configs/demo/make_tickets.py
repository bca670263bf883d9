"""Write tickets.jsonl out of scenarios.toml: the same bytes on every run.

python configs/demo/make_tickets.py           rewrite the file
python configs/demo/make_tickets.py --check   exit 1 when the file differs
"""

import argparse
import json
import random
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Item = TypeVar("Item")

SEED = 1907
WORDS = range(20, 56)
LONGEST = 255
"""Characters: keeps every ticket within 80 tokens of the demo's tokenizer, which this script does not load."""
FOLDER = Path(__file__).parent
FILE = FOLDER / "tickets.jsonl"

GREETINGS = (
    "Hi,", "Hello there,", "Good morning,", "Good evening.", "Hey folks,", "Hello Fennmoor,", "Hi team,", "Greetings!",
    "Good day,", "Hello again,", "Hi, me again.", "Evening all,",
)  # fmt: skip
FORMAL_GREETINGS = (
    "Dear Fennmoor team,",
    "Dear Sir or Madam,",
    "To whom it may concern:",
    "Dear support,",
    "Dear all,",
)
CLOSINGS = ("Thanks!", "Thank you.", "Cheers,", "Bye,", "Many thanks,", "All the best,", "Thanks in advance,", "Ta,")
FORMAL_CLOSINGS = ("Kind regards,", "Yours faithfully,", "With best wishes,", "Yours sincerely,", "Respectfully,")
NAMES = (
    "Irma", "Tobias", "Marguerite", "Kofi", "Sanne", "Yusuf", "Brigid", "Leandro", "Anouk", "Piotr", "Meera", "Colm",
    "Dagny", "Hiro", "Zsofia", "Emeka", "Ludmila", "Rafe", "Noor", "Stellan", "Paloma", "Gwen", "Ivo", "Tamsin",
)  # fmt: skip
CHATTER = (
    "I have never written to a shop before.", "The weather here is dreadful, by the way.",
    "I like your new website.", "My husband says I worry too much.", "Sorry for the long mail.",
    "I hope this is the right address to write to.", "We are otherwise happy with your things.",
    "Please treat this as urgent!", "I am typing this on the train.",
    "Your phone line played music at me for ages.", "My neighbour told me to write to you.",
    "Please be quick.", "I am rather disappointed.", "I don't want to complain, but still.",
    "My daughter helps me with this mail.", "You can phone me, my number ends in 4471.",
    "I live at 12 Mill Lane.", "A short answer will do.", "Please help.",
    "I looked at the questions page and found nothing.", "Excuse my English.",
    "I am sure you get many such mails.", "I've been a customer for ages.", "What do you suggest?",
    "This must be a priority for you, surely.", "The lady on the phone was very kind.",
    "I am at work until five.", "It is all a bit tiresome.", "Hope you are well.",
    "I tried the chat first, but it sent me round in circles.", "Could someone look into it?",
    "Not the best start of a week.", "I'm not good with machines.",
    "My sister has the same and no such trouble.", "Please answer by mail, not by phone.",
    "Nice colours in your catalogue, though.", "I don't mind who answers.", "Is there anything I can do?",
    "Quite a surprise.", "I am writing for my father, who does not use mail.",
    "Our cat Biscuit sends her regards.", "I kept the box.", "My flatmate laughs at me already.",
    "It was recommended in a magazine.", "I hope you can follow me.",
)  # fmt: skip
SERIALS = (
    "The serial is SN{serial}.",
    "On the sticker I read SN{serial}, if you need it.",
    "Serial number SN{serial}.",
)
CALM_SHARE = 0.7
SERIAL_SHARE = 0.1
"""A serial number has five digits as orders do: some tickets carry one, so that digits alone do not tell."""
ORDERS = (
    "Order {order}.", "My order number is {order}.", "It's order {order}.", "This is about order {order}.",
    "The number on the receipt is {order}.", "Order no. {order}.", "Order #{order}.", "You will find it under {order}.",
    "For your files: order {order}.", "I think the order was {order}.",
)  # fmt: skip
SHORT_FORMS = {"you": "u", "please": "pls", "thanks": "thx", "your": "ur", "because": "bc", "and": "&", "are": "r"}
STYLES = {"plain": 36, "lower": 18, "formal": 20, "loud": 10, "hurried": 16}
TYPO_SHARE = {"plain": 0.25, "lower": 0.35, "formal": 0.1, "loud": 0.2, "hurried": 0.7}


@dataclass(frozen=True)
class Ticket:
    """One row before it is written: what is said, what it means, and whether its second priority was earned."""

    prompt: str
    answer: dict[str, str | None]
    group: str
    is_raised: bool

    def row(self) -> dict[str, str]:
        """Give the three columns of the data set."""
        return {"prompt": self.prompt, "completion": json.dumps(self.answer), "group": self.group}


@dataclass(frozen=True)
class Scene:
    """One family with the rule that it stands under, and the things that can be its matter."""

    products: dict[str, str]
    policy: dict[str, Any]
    family: dict[str, Any]


def scenarios() -> dict[str, Any]:
    """Read the desk's rules and phrasings."""
    return tomllib.loads((FOLDER / "scenarios.toml").read_text(encoding="utf-8"))


def tickets() -> Iterator[Ticket]:
    """Yield every ticket, family by family; no two have the same prompt."""
    book = scenarios()
    rng = random.Random(SEED)
    scenes = [Scene(book["products"], policy, family) for policy in book["policy"] for family in policy["family"]]
    for number, scene in enumerate(scenes):
        yield from group(rng, scene, rows=7 if number % 3 == 0 else 6)


def group(rng: random.Random, scene: Scene, rows: int) -> Iterator[Ticket]:
    """Yield one group: both ways to say it and, where the policy has two priorities, half of the rows raised."""
    sayings = spread(rng, scene.family["say"], rows)
    raised = spread(rng, [False, True], rows) if "raise" in scene.family else [False] * rows
    seen: set[str] = set()
    for saying, is_raised in zip(sayings, raised, strict=True):
        ticket = draw(rng, scene, saying, is_raised)
        while ticket.prompt in seen or len(ticket.prompt.split()) not in WORDS or len(ticket.prompt) > LONGEST:
            ticket = draw(rng, scene, saying, is_raised)
        seen.add(ticket.prompt)
        yield ticket


def spread(rng: random.Random, values: list[Item], count: int) -> list[Item]:
    """Repeat values to the count, as evenly as it goes, in a drawn order."""
    repeated = [values[index % len(values)] for index in range(count)]
    rng.shuffle(repeated)
    return repeated


def draw(rng: random.Random, scene: Scene, saying: str, is_raised: bool) -> Ticket:
    """Draw one ticket of a family: the product and order it names, then the words around them."""
    policy = scene.policy
    product = rng.choice(policy.get("products", sorted(scene.products))) if "{p}" in saying else None
    order = str(rng.randint(30000, 89999)) if rng.random() < policy["order_share"] else None
    said = saying.replace("{p}", spoken(rng, product, scene.products[product])) if product else saying
    answer = {
        "queue": policy["queue"],
        "priority": policy["raised"] if is_raised else policy["priority"],
        "product": product,
        "order": order,
        "policy": policy["id"],
    }
    spared = {word.lower() for name, kind in scene.products.items() for word in (name, *kind.split())}
    prompt = written(rng, [said, *circumstance(rng, scene.family, is_raised)], order, spared)
    return Ticket(prompt, answer, scene.family["name"], is_raised)


def circumstance(rng: random.Random, family: dict[str, Any], is_raised: bool) -> list[str]:
    """Say what earns the second priority, or what does not, or nothing."""
    if is_raised:
        return [rng.choice(family["raise"])]
    return [rng.choice(family["calm"])] if "calm" in family and rng.random() < CALM_SHARE else []


def spoken(rng: random.Random, product: str, kind: str) -> str:
    """Name the product as customers do: by its name, by name and kind, or by kind alone."""
    return rng.choices((product, f"{product} {kind}", kind), weights=(50, 22, 28))[0]


def written(rng: random.Random, core: list[str], order: str | None, spared: set[str]) -> str:
    """Put the matter between small talk, greet, close, and bring it all into one style."""
    style = rng.choices(list(STYLES), weights=list(STYLES.values()))[0]
    body = core.copy()
    for line in small_talk(rng):
        # Never between the matter and its condition: "that was five weeks ago" must keep its "that".
        body.insert(rng.choice((0, len(body))), line)
    if order is not None:
        body.insert(rng.choice((0, len(body), len(body))), rng.choice(ORDERS).format(order=order))
    text = " ".join([*opening(rng, style), *body, *ending(rng, style)])
    return styled(rng, misspelt(rng, text, TYPO_SHARE[style], spared), style)


def small_talk(rng: random.Random) -> list[str]:
    """Say up to two things that change nothing, and now and then a serial number."""
    lines = rng.sample(CHATTER, rng.choice((0, 1, 1, 2)))
    if rng.random() < SERIAL_SHARE:
        lines.append(rng.choice(SERIALS).format(serial=rng.randint(10000, 99999)))
    return lines


def opening(rng: random.Random, style: str) -> list[str]:
    """Greet, or come straight to the point."""
    if style == "formal":
        return [rng.choice(FORMAL_GREETINGS)]
    return [rng.choice(GREETINGS)] if rng.random() < 0.5 else []


def ending(rng: random.Random, style: str) -> list[str]:
    """Close and sign, or stop."""
    if style == "formal":
        return [rng.choice(FORMAL_CLOSINGS), rng.choice(NAMES)]
    if rng.random() < 0.4:
        return []
    return [rng.choice(CLOSINGS), rng.choice(NAMES)] if rng.random() < 0.6 else [rng.choice(NAMES)]


def misspelt(rng: random.Random, text: str, share: float, spared: set[str]) -> str:
    """Misspell one or two longer words in a share of the tickets; names of products stay right."""
    if rng.random() >= share:
        return text
    words = text.split(" ")
    long_ones = [at for at, word in enumerate(words) if re.fullmatch("[a-z]{5,}", word) and word not in spared]
    for at in rng.sample(long_ones, min(len(long_ones), rng.choice((1, 1, 2)))):
        words[at] = slip(rng, words[at])
    return " ".join(words)


def slip(rng: random.Random, word: str) -> str:
    """Swap two neighbouring letters, drop one or double one, never the first."""
    at = rng.randrange(1, len(word) - 1)
    return rng.choice(
        (
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
        )
    )


def styled(rng: random.Random, text: str, style: str) -> str:
    """Bring a text into its writer's style."""
    if style == "lower":
        return text.lower().rstrip(".!")
    if style == "loud":
        return loud(rng, text)
    if style == "hurried":
        return " ".join(SHORT_FORMS.get(word, word) for word in text.split(" ")).replace("'", "")
    return text


def loud(rng: random.Random, text: str) -> str:
    """Write a few words in capitals and end sentences with more than they need."""
    words = text.split(" ")
    shouted = rng.sample(range(len(words)), 4)
    return (
        " ".join(word.upper() if at in shouted else word for at, word in enumerate(words))
        .replace(". ", "! ")
        .replace("no! ", "no. ")
    )


def file_text() -> str:
    """Give the whole data file, rows in a drawn order so that its head shows many scenarios."""
    rows = [ticket.row() for ticket in tickets()]
    random.Random(SEED).shuffle(rows)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def main() -> int:
    """Rewrite the file, or tell by the exit code whether it is the one this script writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the file differs")
    if parser.parse_args().check:
        return int(not FILE.is_file() or FILE.read_bytes() != file_text().encode())
    FILE.write_bytes(file_text().encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
