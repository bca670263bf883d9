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

WORDS = {
    "number_words": "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen",
    "letters": "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z",
    "days": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "months": "January February March April May June July August September October November December",
}
UNITS = (
    ("minutes", "hours", 60),
    ("days", "weeks", 7),
    ("months", "years", 12),
    ("hours", "days", 24),
    ("seconds", "minutes", 60),
    ("cents", "euros", 100),
)

Sum = tuple[str, str, list[str]]
"""Text to continue, right answer, three wrong ones."""


def number(rng: random.Random, question: str, answer: int, *slips: int) -> Sum:
    """Add three wrong numbers: at most one a slip of a known kind, the others near the right one on either side."""
    near = [answer + gap for gap in (-3, -2, -1, 1, 2, 3)]
    possible = [slip for slip in dict.fromkeys(slips) if slip > 0 and slip != answer]
    drawn = rng.sample(possible, min(1, len(possible)))
    rest = [gap for gap in near if gap > 0 and gap not in drawn]
    return question, str(answer), [str(wrong) for wrong in drawn + rng.sample(rest, CHOICES - 1 - len(drawn))]


def count_on(rng: random.Random) -> Sum:
    """Ask for the next three numbers' successor: the easiest signal a language model gives."""
    start = rng.randint(2, 60)
    return number(rng, f"{start}, {start + 1}, {start + 2},", start + 3, start - 1, start + 13, start + 20)


def count_back(rng: random.Random) -> Sum:
    """Ask for the number before three numbers that fall."""
    start = rng.randint(8, 60)
    return number(rng, f"{start}, {start - 1}, {start - 2},", start - 3, start + 1, start + 7)


def count_in_steps(rng: random.Random) -> Sum:
    """Ask for the next number of a series in twos, fives or tens."""
    step = rng.choice((2, 5, 10))
    start = step * rng.randint(1, 6)
    series = ", ".join(str(start + step * index) for index in range(4))
    answer = start + 4 * step
    return number(rng, f"Counting in {step}s: {series},", answer, answer - step, answer + 1, answer + 3)


def in_order(rng: random.Random, name: str) -> Sum:
    """Ask for what follows three words that have an order; weeks and years begin again."""
    words = WORDS[name].split()
    first = rng.randrange(len(words) if name in ("days", "months") else len(words) - 3)
    *shown, answer = [words[(first + step) % len(words)] for step in range(4)]
    form = rng.choice(("{},", "In order: {},")) if name == "days" else "{},"
    wrong = rng.sample([word for word in words if word not in (*shown[1:], answer)], CHOICES - 1)
    return form.format(", ".join(shown)), answer, wrong


def number_words(rng: random.Random) -> Sum:
    """Count on in words."""
    return in_order(rng, "number_words")


def letters(rng: random.Random) -> Sum:
    """Go on in the alphabet."""
    return in_order(rng, "letters")


def days(rng: random.Random) -> Sum:
    """Go on in the week."""
    return in_order(rng, "days")


def months(rng: random.Random) -> Sum:
    """Go on in the year."""
    return in_order(rng, "months")


def add_digits(rng: random.Random) -> Sum:
    """Ask for the sum of two numbers below ten."""
    a, b = rng.randint(2, 9), rng.randint(2, 9)
    return number(rng, f"{a} + {b} =", a + b, abs(a - b), a * b, a + b + 10)


def add_three(rng: random.Random) -> Sum:
    """Ask for the sum of three small numbers."""
    a, b, c = (rng.randint(1, 5) for _ in range(3))
    return number(rng, f"{a} + {b} + {c} =", a + b + c, a + b, b + c)


def add_tens(rng: random.Random) -> Sum:
    """Ask for the sum of two round numbers, among round numbers."""
    a, b = rng.randint(1, 6), rng.randint(1, 6)
    question, answer, wrong = number(rng, f"{a}0 + {b}0 =", a + b, abs(a - b))
    return question, f"{answer}0", [f"{each}0" for each in wrong]


def take_digits(rng: random.Random) -> Sum:
    """Ask for the difference of two small numbers."""
    a, b = rng.randint(6, 12), rng.randint(1, 5)
    return number(rng, f"{a} - {b} =", a - b, a + b, a, b)


def multiply_digits(rng: random.Random) -> Sum:
    """Ask for a product out of the small tables."""
    a, b = rng.randint(2, 5), rng.randint(2, 10)
    return number(rng, f"{a} times {b} is", a * b, a + b, a * b + a, a * b - b)


def double(rng: random.Random) -> Sum:
    """Ask for twice a number."""
    a = rng.randint(2, 25)
    return number(rng, f"2 x {a} =", 2 * a, a, a + 2)


def halve(rng: random.Random) -> Sum:
    """Ask for half of an even number."""
    a = rng.randint(1, 25)
    return number(rng, f"{2 * a} / 2 =", a, 2 * a, 4 * a)


def largest(rng: random.Random) -> Sum:
    """Ask for the largest of four numbers, which are the choices."""
    drawn = rng.sample(range(2, 100), CHOICES)
    answer, *wrong = sorted(drawn, reverse=True)
    question = f"The largest of the numbers {drawn[0]}, {drawn[1]}, {drawn[2]} and {drawn[3]} is"
    return question, str(answer), [str(each) for each in wrong]


def units(rng: random.Random) -> Sum:
    """Ask how many small units are in two to four large ones."""
    small, large, size = rng.choice(UNITS)
    count = rng.randint(2, 4)
    words = ("two", "three", "four")[count - 2]
    return number(rng, f"The number of {small} in {words} {large}:", size * count, size, size + count)


def cost(rng: random.Random) -> Sum:
    """Ask for the price of a few things."""
    count, price = rng.randint(2, 4), rng.randint(2, 9)
    question = f"One ticket costs {price} euros. {count} tickets cost {count} x {price} ="
    return number(rng, question, count * price, count + price, price)


def add_in_words(rng: random.Random) -> Sum:
    """Tell a story in which a small number is added."""
    a, b = rng.randint(2, 9), rng.randint(1, 4)
    return number(rng, story(rng, MORE, a, b), a + b, abs(a - b), a * b, a + b + 10)


def take_in_words(rng: random.Random) -> Sum:
    """Tell a story in which a small number is taken away."""
    a, b = rng.randint(5, 10), rng.randint(1, 4)
    return number(rng, story(rng, FEWER, a, b), a - b, a + b, a - b + 10)


TOPICS: tuple[Callable[[random.Random], Sum], ...] = (
    count_on, count_back, count_in_steps, number_words, letters, days, months, add_digits, add_three, add_tens,
    take_digits, multiply_digits, double, halve, largest, units, cost, add_in_words, take_in_words,
)  # fmt: skip


def story(rng: random.Random, forms: tuple[str, ...], a: int, b: int) -> str:
    """Fill one of the story forms with a name, a thing and two numbers."""
    return rng.choice(forms).format(name=rng.choice(NAMES), things=rng.choice(THINGS), a=a, b=b)


def items() -> Iterator[dict[str, Any]]:
    """Yield the items; the right answer stands equally often at each place."""
    rng = random.Random(SEED)
    places = [place % CHOICES for place in range(PER_TOPIC * len(TOPICS))]
    rng.shuffle(places)
    asked: set[str] = set()
    for number, gold in enumerate(places, start=1):
        topic = TOPICS[(number - 1) // PER_TOPIC]
        question, answer, choices = unasked(rng, topic, asked)
        rng.shuffle(choices)
        choices.insert(gold, answer)
        yield {
            "id": f"arithmetic-{number:03}",
            "topic": topic.__name__,
            "question": question,
            "choices": choices,
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
