from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.errors import ConfigRefused, MachineLacks
from schemas.sections.benchmark import BenchmarkConfig
from schemas.sources import BenchmarkSources
from tasks.benchmark import packaged
from tasks.benchmark.locating import locate_benchmarks, locate_cached_items
from tasks.benchmark.packaged import task_library
from tasks.benchmark.task_files import read_task_file
from tasks.reuse.keys import flatten
from tasks.reuse.store import ArtifactStore

TASK = """
task: NAME
dataset_path: json
dataset_kwargs: {data_files: {test: NAME.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{gold}}"
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
ROW = '{"question": "one and one is", "choices": ["two", "six"], "gold": 0}\n'


def write_task(folder: Path, name: str, text: str = TASK, rows: str = ROW) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.jsonl").write_text(rows)
    path = folder / f"{name}.yaml"
    path.write_text(text.replace("NAME", name))
    return path


def locate(folder: Path, store: ArtifactStore, *tasks: str) -> BenchmarkSources:
    return locate_benchmarks(BenchmarkConfig(tasks=tasks), folder, store)


def names(sources: BenchmarkSources) -> set[str]:
    return {Path(file.path).name for file in sources.files}


def test_the_shipped_benchmark_is_found_from_any_folder_with_its_data(store: ArtifactStore, tmp_path: Path) -> None:
    found = locate(tmp_path, store, "general_mini")
    assert found.names == ("general_mini",)
    assert {"general_mini.yaml", "grammar.jsonl", "knowledge.jsonl", "arithmetic.jsonl", "choices.jsonl"} <= names(
        found
    )


def test_one_part_of_a_shipped_group_can_be_named_and_brings_only_its_own_data(
    store: ArtifactStore, tmp_path: Path
) -> None:
    assert names(locate(tmp_path, store, "general_mini_grammar")) == {"general_mini_grammar.yaml", "grammar.jsonl"}


def test_a_file_a_folder_and_a_name_without_its_ending_lead_to_a_local_task(
    store: ArtifactStore, tmp_path: Path
) -> None:
    write_task(tmp_path / "ours", "sums")
    for spelling in ("ours/sums.yaml", "ours/sums", "ours", str(tmp_path / "ours" / "sums.yaml")):
        found = locate(tmp_path, store, spelling)
        assert found.names == ("sums",), spelling
        assert names(found) == {"sums.yaml", "sums.jsonl"}


def test_a_folder_stands_for_its_groups_and_the_tasks_that_are_in_none(store: ArtifactStore, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_task(tmp_path / "ours", name)
    (tmp_path / "ours" / "both.yaml").write_text("group: both\ntask: [a, b]\n")
    found = locate(tmp_path, store, "ours")
    assert sorted(found.names) == ["both", "c"]
    assert {"a.jsonl", "b.jsonl", "c.jsonl"} <= names(found)


def test_every_unknown_name_is_reported_at_once_with_the_nearest_ones(store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(ConfigRefused) as refusal:
        locate(tmp_path, store, "general_mimi", "arc_esay")
    assert "general_mini" in str(refusal.value).splitlines()[1]
    assert "arc_easy" in str(refusal.value).splitlines()[2]


def test_a_group_within_a_group_brings_the_data_of_its_tasks(store: ArtifactStore, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_task(tmp_path, name)
    (tmp_path / "all.yaml").write_text("group: all\ntask: [{group: inner, task: [a]}, {task: b, num_fewshot: 1}]\n")
    assert {"a.jsonl", "b.jsonl"} <= names(locate(tmp_path, store, "all.yaml"))


def test_data_files_of_a_hub_data_set_are_not_looked_for_beside_the_task_file(
    store: ArtifactStore, tmp_path: Path
) -> None:
    path = write_task(tmp_path, "sums", TASK.replace("dataset_path: json", "dataset_path: somebody/sums"))
    assert read_task_file(path).options == {"data_files": {"test": "sums.jsonl"}}
    with pytest.raises(MachineLacks, match="somebody/sums"):
        locate(tmp_path, store, "sums")


def test_a_missing_member_of_a_group_is_named(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "both.yaml").write_text("group: both\ntask: [absent_part]\n")
    with pytest.raises(ConfigRefused, match="absent_part"):
        locate(tmp_path, store, "both.yaml")


def test_a_built_in_task_whose_data_is_not_here_is_refused_with_a_way_out(
    store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "empty"))
    with pytest.raises(MachineLacks, match="allenai/ai2_arc") as lack:
        locate(tmp_path, store, "arc_easy", "blimp")
    assert "nyu-mll/blimp" in str(lack.value)
    assert "include: arc/arc_easy.yaml" in str(lack.value)


def test_a_built_in_task_whose_data_is_cached_is_keyed_by_the_datas_version(
    store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    (tmp_path / "allenai___ai2_arc" / "ARC-Easy" / "0.0.0" / ("a" * 40)).mkdir(parents=True)
    found = locate(tmp_path / "elsewhere", store, "arc_easy")
    assert found.hub == {"allenai/ai2_arc": "a" * 40}
    assert found.packaged == ("arc_easy",)


def test_cached_files_of_every_part_are_found_and_are_no_part_of_the_benchmarks_key(
    store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    folder = tmp_path / "allenai___ai2_arc" / "ARC-Easy" / "0.0.0"
    (folder / ("a" * 40)).mkdir(parents=True)
    (folder / f"{'b' * 40}.incomplete").mkdir()
    (folder / f"{'b' * 40}.incomplete" / "ai2_arc-test.arrow").write_bytes(b"half")
    before = locate(tmp_path / "elsewhere", store, "arc_easy")
    assert locate_cached_items(before, store) == {}
    (folder / ("a" * 40) / "ai2_arc-test.arrow").write_bytes(b"items")
    after = locate(tmp_path / "elsewhere", store, "arc_easy")
    found = locate_cached_items(after, store)
    assert {name: [Path(file.path).name for file in files] for name, files in found.items()} == {
        "allenai/ai2_arc": ["ai2_arc-test.arrow"]
    }
    assert dict(flatten("benchmark", before)) == dict(flatten("benchmark", after))


def test_a_built_in_task_can_be_put_on_local_data(store: ArtifactStore, tmp_path: Path) -> None:
    changes = "task: NAME\ndataset_path: json\ndataset_name: null\ndataset_kwargs: {data_files: {test: NAME.jsonl}}\n"
    write_task(tmp_path, "local_arc", f"include: arc/arc_easy.yaml\n{changes}")
    assert names(locate(tmp_path, store, "local_arc")) == {"local_arc.yaml", "local_arc.jsonl"}


def test_changed_data_and_changed_code_move_the_key_and_a_moved_folder_does_not(
    store: ArtifactStore, tmp_path: Path
) -> None:
    text = TASK.replace('doc_to_text: "{{question}}"', "doc_to_text: !function wording.ask")
    for place in ("here", "there"):
        write_task(tmp_path / place, "sums", text)
        (tmp_path / place / "wording.py").write_text("def ask(doc): return doc['question']\n")

    def key(place: str) -> dict[str, object]:
        return dict(flatten("sources", locate(tmp_path / place, store, "sums")))

    before = key("here")
    assert key("there") == before
    (tmp_path / "there" / "wording.py").write_text("def ask(doc): return 'Well, ' + doc['question']\n")
    assert key("there") != before
    (tmp_path / "here" / "sums.jsonl").write_text(ROW.replace("six", "ten"))
    assert key("here") != before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TASK.replace("test: NAME.jsonl", "test: absent.jsonl"), "absent.jsonl"),
        (TASK.replace("data_files:", "trust_remote_code: true, data_files:"), "trust_remote_code"),
        (TASK.replace("test: NAME.jsonl", "test: 'https://here/rows.jsonl'"), "may change unseen"),
        (TASK + "unsafe_code: true\n", "code that the model wrote"),
        ("include: NAME.yaml\n" + TASK, "leads back to itself"),
        ("include: absent.yaml\n" + TASK, "is missing"),
        ("task: [a\n", "not readable YAML"),
        ("- a list\n", "not an lm-eval task"),
    ],
)
def test_a_task_file_that_cannot_be_used_is_refused_by_name(
    text: str, message: str, store: ArtifactStore, tmp_path: Path
) -> None:
    write_task(tmp_path, "sums", text)
    with pytest.raises(ConfigRefused, match=message) as refusal:
        locate(tmp_path, store, "sums.yaml")
    assert "sums" in str(refusal.value)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["general_mini", "arc_easy"])
def test_locating_imports_neither_torch_nor_lm_eval(task: str, tmp_path: Path) -> None:
    task_library()  # on a machine that never looked, lm-eval builds the index here
    (tmp_path / "allenai___ai2_arc" / "ARC-Easy" / "0.0.0" / ("a" * 40)).mkdir(parents=True)
    code = (
        "import sys; from pathlib import Path; from schemas.config import BenchmarkConfig; from tasks.reuse.store "
        "import ArtifactStore;"
        "from tasks.benchmark.locating import locate_benchmarks, locate_cached_items; import tasks.benchmark.task;"
        f"locate_benchmarks(BenchmarkConfig(tasks=({task!r},)), Path('.'), ArtifactStore(Path('store')));"
        "print([name for name in ('torch', 'lm_eval', 'transformers', 'datasets') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "HF_DATASETS_CACHE": str(tmp_path)}
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert found.stdout.strip() == b"[]"


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A task library of one task, not yet indexed."""
    folder = tmp_path / "library"
    write_task(folder, "sums", TASK + "tag: arithmetic\n")
    monkeypatch.setattr(packaged, "library_root", lambda: folder)
    monkeypatch.setenv("TUNEWORTHY_CACHE", str(tmp_path / "cache"))
    task_library.cache_clear()
    yield folder
    task_library.cache_clear()


def test_the_index_is_read_from_disk_and_built_again_when_it_is_broken(library: Path, tmp_path: Path) -> None:
    built = task_library()
    assert (built.files, built.tags) == ({"sums": "sums.yaml"}, {"arithmetic": ("sums",)})
    (index,) = (tmp_path / "cache").iterdir()
    whole = index.read_text()
    index.write_text(whole.replace("arithmetic", "changed"))
    task_library.cache_clear()
    assert set(task_library().tags) == {"changed"}
    index.write_text(whole[:-9])
    task_library.cache_clear()
    assert task_library() == built
    assert [path.read_text() for path in (tmp_path / "cache").iterdir()] == [whole]


def test_a_changed_library_is_indexed_again(library: Path) -> None:
    before = task_library()
    write_task(library, "products")
    task_library.cache_clear()
    assert set(task_library().files) - set(before.files) == {"products"}


def test_tasks_are_found_though_no_index_can_be_written(library: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert set(task_library().files) == {"sums"}
