"""Write questions.jsonl and handbook/: the handbook of a tool library that does not exist, a page a tool, and questions
whose answers stand on these pages and nowhere else. The same bytes on every run.

python configs/tools/make_tools.py           rewrite the files
python configs/tools/make_tools.py --check   exit 1 when a file differs
"""

import json
import random
import sys
from pathlib import Path

SEED = 2611
FOLDER = Path(__file__).parent
KINDS = (
    "tile cutter", "hedge trimmer", "belt sander", "pressure washer", "wallpaper steamer", "cement mixer",
    "post driver", "chipper", "floor buffer", "heat gun", "jigsaw", "ladder", "log splitter", "nail gun",
    "paint sprayer", "pipe bender", "rotavator", "router table", "sack truck", "scaffold tower",
)  # fmt: skip
MAKERS = ("Arvent", "Bolder", "Corvey", "Dunmore")
KEEPERS = ("Hana", "Osric", "Petra", "Tomas", "Ulla", "Wim", "Zadie", "Ezra")
EXTRAS = ("a steel case", "two spare blades", "an extension lead", "ear protectors", "a canvas bag", "safety goggles")
# Fact -> sentences of the handbook, ways to ask.
FACTS = {
    "deposit": (
        ("We ask for a deposit of {value}.", "Leave a deposit of {value} at the counter."),
        ("How much is the deposit for the {tool}?", "What deposit do I leave when I borrow the {tool}?"),
    ),
    "days": (
        ("You may keep it for {value}.", "The longest loan is {value}."),
        ("How long may I keep the {tool}?", "For how many days can the {tool} be borrowed?"),
    ),
    "shelf": (
        ("It stands in {value}.", "Look for it in {value}."),
        ("Where does the {tool} stand?", "In which bay will I find the {tool}?"),
    ),
    "keeper": (
        ("{value} looks after it and shows how it is used.", "Ask {value} to show you how it works."),
        ("Who looks after the {tool}?", "Which colleague shows how to use the {tool}?"),
    ),
    "extra": (
        ("It is lent with {value}.", "Every loan comes with {value}."),
        ("What comes with the {tool}?", "What is the {tool} lent with?"),
    ),
}
CLOSINGS = (
    "Bring it back clean and dry.", "Tell us at once if something breaks; we never charge for honest wear.",
    "Children may watch from behind the yellow line.", "It is serviced every spring.",
)  # fmt: skip


def values(rng: random.Random) -> dict[str, str]:
    """Draw what is true of one tool."""
    return {
        "deposit": f"{rng.randrange(15, 200, 5)} euros",
        "days": f"{rng.randrange(2, 15)} days",
        "shelf": f"bay {rng.choice('ABCDEFGH')}{rng.randrange(1, 30)}",
        "keeper": rng.choice(KEEPERS),
        "extra": rng.choice(EXTRAS),
    }


def files() -> dict[Path, str]:
    """Return every file with its content."""
    rng = random.Random(SEED)
    rows, written = [], {}
    for tool in (f"{maker} {kind}" for kind in KINDS for maker in MAKERS):
        facts = values(rng)
        told = [rng.choice(FACTS[fact][0]).format(value=value) for fact, value in rng.sample(sorted(facts.items()), 5)]
        told.insert(rng.randrange(1, 5), rng.choice(CLOSINGS))
        written[FOLDER / "handbook" / f"{tool.lower().replace(' ', '-')}.md"] = f"# {tool}\n\n{' '.join(told)}\n"
        asked = [(rng.choice(FACTS[fact][1]).format(tool=tool), value) for fact, value in facts.items()]
        rows += [{"prompt": question, "completion": value, "group": tool} for question, value in asked]
    return {FOLDER / "questions.jsonl": "".join(f"{json.dumps(row)}\n" for row in rows), **written}


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(any(not path.exists() or path.read_text(encoding="utf-8") != text for path, text in files().items()))
    for path, text in files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
