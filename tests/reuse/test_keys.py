"""Code enters a key as what it does: comments and docstrings do not count, a called module's body does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.reuse import keys

ENGINE = '"""What it is."""\n\n\ndef weigh() -> int:\n    """Say it."""\n    # why\n    return 1\n'


@pytest.fixture
def digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], dict[str, str]]]:
    """Write a package whose task module calls an engine, and return the digests for an engine's text."""
    package = tmp_path / "sandbox"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "task.py").write_text(
        "def stage() -> int:\n    from sandbox.engine import weigh\n\n    return weigh()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(keys, "OWN_PACKAGES", ("sandbox",))

    def measured(engine: str) -> dict[str, str]:
        (package / "engine.py").write_text(engine)
        keys._parsed.cache_clear()
        return keys.source_digests(["sandbox.task"])

    yield measured
    keys._parsed.cache_clear()
    sys.modules.pop("sandbox", None)


def test_an_engine_imported_inside_a_function_is_found(digests: Callable[[str], dict[str, str]]) -> None:
    assert set(digests(ENGINE)) == {"source.sandbox.task", "source.sandbox.engine"}


def test_comments_and_docstrings_do_not_move_the_key(digests: Callable[[str], dict[str, str]]) -> None:
    assert digests(ENGINE) == digests(
        ENGINE.replace("# why", "# because").replace("Say it", "Tell it").replace("What it is", "Text")
    )


def test_a_changed_number_moves_the_key(digests: Callable[[str], dict[str, str]]) -> None:
    assert digests(ENGINE) != digests(ENGINE.replace("return 1", "return 2"))


def test_a_dictionary_has_one_spelling() -> None:
    assert keys.digest_of({"b": 1, "a": [1.0, None]}) == keys.digest_of({"a": [1.0, None], "b": 1})
