"""An exported version answers in transformers as it does here, or nothing is left behind."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from schemas.errors import AdapterRefused, ArtifactBroken, ConfigRefused
from tasks.registry.delivery import exporting
from tasks.registry.delivery.checking import Checked
from tasks.registry.delivery.exporting import export
from tasks.registry.serving.serving_version import FetchedVersion, Name, fetch_version
from tests.before_registry import INSTRUCTION, MODEL, Made, a_verdict

pytestmark = pytest.mark.slow


@pytest.fixture
def fetched(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FetchedVersion:
    monkeypatch.setenv("TUNEWORTHY_STORE", str(made.store.root))
    made.register(a_verdict(0.85))
    return fetch_version("", Name.parse(MODEL), made.store, tmp_path / "version")


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize("form", ["adapter", "merged", "vllm"])
def test_twice_gives_the_same_bytes_and_says_how_it_answers(fetched: FetchedVersion, tmp_path: Path, form: str) -> None:
    found = [export(fetched, form, tmp_path / name, tolerance=0.05) for name in ("one", "two")]
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert found[0] == found[1] == Checked(**json.loads((tmp_path / "one" / "delivery.json").read_text()))
    assert 0 <= found[0].divergence < 0.05
    assert found[0].rows > 0
    readme = (tmp_path / "one" / "README.md").read_text(encoding="utf-8")
    assert INSTRUCTION in readme
    assert ("--enable-lora" in readme) == (form != "merged")
    assert not list(tmp_path.glob(".*.partial"))


def test_what_moved_too_far_is_refused_and_leaves_nothing(fetched: FetchedVersion, tmp_path: Path) -> None:
    with pytest.raises(AdapterRefused, match=r"golden rows are answered differently in transformers .* 0 is allowed"):
        export(fetched, "merged", tmp_path / "out", tolerance=0.0)
    assert not list(tmp_path.glob("*out*"))


def test_a_crash_leaves_nothing(fetched: FetchedVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "compared", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        export(fetched, "merged", tmp_path / "out", tolerance=0.05)
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]


def test_a_folder_with_something_in_it_is_left_alone(fetched: FetchedVersion, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigRefused, match="holds something already"):
        export(fetched, "merged", tmp_path / "out", tolerance=0.05)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_files_that_were_altered_in_mlflow_are_refused(made: Made, fetched: FetchedVersion, tmp_path: Path) -> None:
    (packed,) = (made.store.root / "mlartifacts").rglob("adapter_config.json")
    packed.write_text(packed.read_text() + " ")
    with pytest.raises(ArtifactBroken, match="not the ones that were registered"):
        fetch_version("", Name.parse(MODEL), made.store, tmp_path / "again")


@pytest.mark.parametrize("text", ["", "@champion", "x@", "x/", "x/one", "x@champion/2"])
def test_a_name_that_names_no_version_is_refused(text: str) -> None:
    with pytest.raises(ConfigRefused, match="names no version"):
        Name.parse(text)


def test_a_version_that_is_not_there_is_told_with_those_that_are(made: Made, fetched: FetchedVersion) -> None:
    for text in (f"{MODEL}/7", f"{MODEL}@challenger"):
        with pytest.raises(ConfigRefused, match=f"There is no {text}. Versions of {MODEL}: 1"):
            fetch_version("", Name.parse(text), made.store, Path("unused"))
