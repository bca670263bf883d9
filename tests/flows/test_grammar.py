"""Arms with a grammar from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.command_line.main import main


@pytest.mark.slow
def test_a_run_tells_what_a_grammar_alone_gives(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arms, pattern = "arms.untrained=[prompt, prompt+grammar]", "task.answer={format: text, pattern: '[a-z 0-9;=]+'}"
    assert main(["compare", str(small), "--json", "--set", arms, "--set", pattern]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "a grammar alone gives prompt" in json.dumps(told)
