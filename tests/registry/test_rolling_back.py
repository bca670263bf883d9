"""The champion is set back to one that can still answer, there and back again, and each move leaves an audit row."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from schemas.errors import ArtifactBroken, ConfigRefused, ModelMissing, RegistryUnreachable, TuneworthyError
from tasks.registry.connection import open_registry
from tasks.registry.placing import write_audit
from tasks.registry.rolling_back import roll_back
from tasks.reuse.store import ArtifactStore
from tests.before_registry import MODEL, Made, a_comparison, a_verdict
from tests.random_adapter import sealed_adapter, sealed_base
from tests.tampered_base import tampered


@pytest.fixture
def two(made: Made, tmp_path: Path) -> Made:
    """A model whose second version is champion and whose first one was it before."""
    made.register(a_verdict(0.85))
    made.register(
        a_verdict(0.9),
        sealed_adapter(made.store, made.base, tmp_path / "other", seed=2),
        comparison=a_comparison("better"),
    )
    return made


def aliases(store: ArtifactStore) -> dict[str, str]:
    with open_registry("", store, "") as registry:
        return {
            name: str(version)
            for name, version in registry.client.get_registered_model(MODEL).aliases.items()
            if not name.startswith("sha-")
        }


def audit_rows(store: ArtifactStore) -> list[dict[str, str]]:
    with open_registry("", store, "") as registry:
        tags = registry.client.get_registered_model(MODEL).tags
    return [json.loads(text) for name, text in sorted(tags.items()) if name.startswith("audit.")]


@pytest.mark.slow
def test_the_champion_is_rolled_back_there_and_back_and_each_move_is_written_down(two: Made) -> None:
    assert aliases(two.store) == {"champion": "2", "previous": "1"}
    assert (roll_back("", MODEL, None, two.store).version, aliases(two.store)) == (
        "1",
        {"champion": "1", "previous": "2"},
    )
    assert (roll_back("", MODEL, None, two.store).version, aliases(two.store)) == (
        "2",
        {"champion": "2", "previous": "1"},
    )
    rows = [(row["move"], row["version"], row["before"]) for row in audit_rows(two.store)]
    assert rows == [("champion", "1", ""), ("champion", "2", "1"), ("rollback", "1", "2"), ("rollback", "2", "1")]
    assert all(row["placed_by"] and row["placed_at"] for row in audit_rows(two.store)[2:])


@pytest.mark.slow
def test_a_version_that_was_rolled_back_becomes_champion_again_by_its_number_and_not_by_the_next_night(
    two: Made, tmp_path: Path
) -> None:
    second = sealed_adapter(two.store, two.base, tmp_path / "second", seed=2)  # the very adapter of version 2
    third = sealed_adapter(two.store, two.base, tmp_path / "third", seed=3)
    two.register(a_verdict(0.7), third, comparison=a_comparison("unclear", "2"))
    roll_back("", MODEL, "3", two.store)
    assert two.register(a_verdict(0.91), second, comparison=a_comparison("better", "3")).alias == "challenger"
    assert aliases(two.store) == {"champion": "3", "previous": "2", "challenger": "2"}
    assert "it was rolled back at" in audit_rows(two.store)[-1]["placed_because"]
    roll_back("", MODEL, "2", two.store)
    assert two.register(a_verdict(0.92), second, comparison=a_comparison("better", "3")).alias == "champion"
    assert aliases(two.store) == {"champion": "2", "previous": "3"}
    assert two.register(a_verdict(0.93), third, comparison=a_comparison("better", "2")).alias == "challenger"


def test_an_audit_rows_second_and_fraction_are_of_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    # The second turned between two readings of the clock, and the later row sorted before the earlier one.
    registry, moment = MagicMock(), 1_764_100_000
    monkeypatch.setattr("tasks.registry.placing.time.time_ns", lambda: moment * 10**9 + 7)
    monkeypatch.setattr("tasks.registry.placing.time.gmtime", lambda at=moment - 1, real=time.gmtime: real(at))
    write_audit(registry, MODEL, {"move": "rollback"})
    _, name, _ = registry.client.set_registered_model_tag.call_args.args
    assert name == f"audit.{time.strftime('%Y-%m-%dT%H-%M-%S', time.gmtime(moment))}.000000007"


@pytest.mark.slow
def test_a_user_without_a_name_can_roll_back(two: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: {}["uid not found"])
    roll_back("", MODEL, None, two.store)
    assert audit_rows(two.store)[-1]["placed_by"].startswith("user ")


@pytest.mark.slow
def test_a_version_that_is_champion_already_is_left_alone_and_writes_no_row(two: Made) -> None:
    found = roll_back("", MODEL, "2", two.store)
    assert (found.version, found.before) == ("2", "2")
    assert len(audit_rows(two.store)) == 2


@pytest.mark.slow
def test_a_challenger_is_made_champion_by_its_number(made: Made, tmp_path: Path) -> None:
    made.register(a_verdict(0.85))
    made.register(
        a_verdict(0.9),
        sealed_adapter(made.store, made.base, tmp_path / "other", seed=2),
        comparison=a_comparison("unclear"),
    )
    roll_back("", MODEL, "2", made.store)
    assert aliases(made.store) == {"champion": "2", "previous": "1"}


@pytest.mark.slow
def test_what_cannot_be_gone_back_to_is_told_with_what_there_is(made: Made) -> None:
    with pytest.raises(ConfigRefused, match="nothing is registered as other"):
        roll_back("sqlite:///nowhere.db", "other", None, made.store)
    made.register(a_verdict(0.85))
    with pytest.raises(ConfigRefused, match="no previous champion to go back to; its versions: 1"):
        roll_back("", MODEL, None, made.store)
    with pytest.raises(ConfigRefused, match="no version 9; its versions: 1"):
        roll_back("", MODEL, "9", made.store)
    with pytest.raises(RegistryUnreachable, match="champion was not changed"):
        roll_back("http://127.0.0.1:9", MODEL, None, made.store)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lost", "error", "told"),
    [
        ("base", ModelMissing, r"needs tiny with digest .* not in .*champion was not changed"),
        ("files", ArtifactBroken, "MLflow does not have the files of version 1"),
        ("altered", ArtifactBroken, "not the ones that were registered"),
    ],
)
def test_a_version_that_can_no_longer_answer_does_not_become_champion(
    lost: str, error: type[TuneworthyError], told: str, two: Made
) -> None:
    packed = min(
        (two.store.root / "mlartifacts").rglob("adapter_model.safetensors"), key=lambda path: path.stat().st_mtime_ns
    )
    if lost == "base":
        shutil.rmtree(two.store.root / "artifacts" / two.base.digest)
    elif lost == "files":
        shutil.rmtree(packed.parent)
    else:
        packed.write_bytes(packed.read_bytes()[:-1] + b"?")
    with pytest.raises(error, match=told):
        roll_back("", MODEL, None, two.store)
    assert aliases(two.store) == {"champion": "2", "previous": "1"}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["tokenizer", "template"])
def test_a_version_whose_rows_would_be_rendered_otherwise_does_not_become_champion(
    how: str, two: Made, tiny_model: Path, tmp_path: Path
) -> None:
    other = sealed_base(two.store, tampered(tiny_model, tmp_path / "tampered", how))
    with open_registry("", two.store, "") as registry:
        registry.client.set_model_version_tag(MODEL, "1", "base_digest", other.digest)
        registry.client.set_model_version_tag(MODEL, "1", "template_digest", other.template_digest)
    with pytest.raises(TuneworthyError, match="golden rows are rendered differently"):
        roll_back("", MODEL, None, two.store)


@pytest.mark.slow
def test_the_command_says_what_it_did_and_leaves_with_the_readmes_codes(two: Made, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "name: x\ntask: {instruction: x}\ndata: {source: rows.jsonl}\nbase: {model: x}\nregistry: {model: "
        f"{MODEL}}}\n"
    )
    command = [sys.executable, "-m", "flows.command_line.main", "rollback", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "version 1 is the champion now" in done.stdout and "version 2 is kept as previous" in done.stdout
    unknown = subprocess.run([*command, "--to", "9", "--json"], capture_output=True, text=True, timeout=60, check=False)
    assert (unknown.returncode, json.loads(unknown.stdout)["exit_code"]) == (2, 2)
