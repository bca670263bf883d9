"""Write arithmetic.jsonl: small sums that a small model can partly do, the same bytes on every run.

python configs/benchmarks/general_mini/make_arithmetic.py           rewrite the file
python configs/benchmarks/general_mini/make_arithmetic.py --check   exit 1 when the file differs
"""

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SEED = 20
PER_TOPIC = 12
CHOICES = 4
FILE = Path(__file__).with_name("arithmetic.jsonl")

THINGS = ("apples", "stamps", "marbles", "eggs", "coins", "shells", "pencils", "tickets", "buttons", "plums")
NAMES = ("Mia", "Omar", "Lena", "Jonas", "Ruth", "Pavel", "Nora", "Idris", "Greta", "Sami")
MORE = (
    "{name} has {a} {things} and finds {b} more. Now {name} has",
    "There are {a} {things} in a box. {name} puts in {b} more. The number of {things} in the box is",
    "{name} buys {a} {things} on Monday and {b} on Tuesday. The number of {things} in all is",
)
FEWER = (
    "{name} has {a} {things} and gives away {b}. Now {name} has",
    "There are {a} {things} on the table. {name} takes {b} of them. The number of {things} left is",
    "{name} had {a} {things} but lost {b}. Now {name} has",
)

Sum = tuple[str, int, tuple[int, ...]]
"""Text to continue, right answer, and answers that a slip of a known kind would give."""


def count_on(rng: random.Random) -> Sum:
    """Ask for the next three numbers' successor: the easiest signal a language model gives."""
    start = rng.randint(2, 60)
    answer = start + 3
    return f"{start}, {start + 1}, {start + 2},", answer, (start - 1, start + 13, start + 20)


def count_in_steps(rng: random.Random) -> Sum:
    """Ask for the next number of a series in twos, fives or tens."""
    step = rng.choice((2, 5, 10))
    start = step * rng.randint(1, 6)
    series = ", ".join(str(start + step * index) for index in range(4))
    answer = start + 4 * step
    return f"Counting in {step}s: {series},", answer, (answer - step, answer + 1, answer + 3)


def add_digits(rng: random.Random) -> Sum:
    """Ask for the sum of two numbers below ten."""
    a, b = rng.randint(2, 9), rng.randint(2, 9)
    return f"{a} + {b} =", a + b, (abs(a - b), a * b, a + b + 10)


def take_digits(rng: random.Random) -> Sum:
    """Ask for the difference of two small numbers."""
    a, b = rng.randint(6, 12), rng.randint(1, 5)
    return f"{a} - {b} =", a - b, (a + b, a, b)


def multiply_digits(rng: random.Random) -> Sum:
    """Ask for a product out of the small tables."""
    a, b = rng.randint(2, 5), rng.randint(2, 10)
    return f"{a} times {b} is", a * b, (a + b, a * b + a, a * b - b)


def add_in_words(rng: random.Random) -> Sum:
    """Tell a story in which a small number is added."""
    a, b = rng.randint(2, 9), rng.randint(1, 4)
    return story(rng, MORE, a, b), a + b, (abs(a - b), a * b, a + b + 10)


def take_in_words(rng: random.Random) -> Sum:
    """Tell a story in which a small number is taken away."""
    a, b = rng.randint(5, 10), rng.randint(1, 4)
    return story(rng, FEWER, a, b), a - b, (a + b, a - b + 10)


TOPICS: tuple[Callable[[random.Random], Sum], ...] = (
    count_on,
    count_in_steps,
    add_digits,
    take_digits,
    multiply_digits,
    add_in_words,
    take_in_words,
)


def story(rng: random.Random, forms: tuple[str, ...], a: int, b: int) -> str:
    """Fill one of the story forms with a name, a thing and two numbers."""
    return rng.choice(forms).format(name=rng.choice(NAMES), things=rng.choice(THINGS), a=a, b=b)


def wrong_answers(rng: random.Random, answer: int, slips: tuple[int, ...]) -> list[int]:
    """Draw three wrong answers, at most one of them a slip, the others near the right one on either side."""
    near = [answer + gap for gap in (-3, -2, -1, 1, 2, 3)]
    possible = [number for number in dict.fromkeys(slips) if number > 0 and number != answer]
    drawn = rng.sample(possible, min(1, len(possible)))
    rest = [number for number in near if number > 0 and number not in drawn]
    return drawn + rng.sample(rest, CHOICES - 1 - len(drawn))


def items() -> Iterator[dict[str, Any]]:
    """Yield the items; the right answer stands equally often at each place."""
    rng = random.Random(SEED)
    places = [place % CHOICES for place in range(PER_TOPIC * len(TOPICS))]
    rng.shuffle(places)
    asked: set[str] = set()
    for number, gold in enumerate(places, start=1):
        topic = TOPICS[(number - 1) // PER_TOPIC]
        question, answer, slips = unasked(rng, topic, asked)
        choices = wrong_answers(rng, answer, slips)
        rng.shuffle(choices)
        choices.insert(gold, answer)
        yield {
            "id": f"arithmetic-{number:03}",
            "topic": topic.__name__,
            "question": question,
            "choices": [str(choice) for choice in choices],
            "gold": gold,
        }


def unasked(rng: random.Random, topic: Callable[[random.Random], Sum], asked: set[str]) -> Sum:
    """Draw from a topic until the question is a new one."""
    while True:
        drawn = topic(rng)
        if drawn[0] not in asked:
            asked.add(drawn[0])
            return drawn


def main() -> int:
    """Rewrite the file, or tell by the exit code whether it is the one this script writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the file differs")
    text = "".join(json.dumps(item) + "\n" for item in items())
    if parser.parse_args().check:
        return int(not FILE.is_file() or FILE.read_bytes() != text.encode())
    FILE.write_bytes(text.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
