"""Each architecture answers and trains as docs/bases.md says: a tiny one with random weights goes all the way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from schemas.errors import ConfigRefused
from schemas.sections.training import TrainingConfig
from tasks.inference.decoding import by_transformers, generate
from tasks.inference.loading import load_model
from tasks.inference.prefix_support import why_unsupported
from tasks.inference.prompts.clock import with_fixed_clock
from tasks.inference.prompts.rendering import render_row
from tasks.training.adapters.methods import load_model as load_for_training
from tasks.training.rows import TokenRow, common_prefix
from tasks.training.step.loss import answering, pack_loss
from tasks.training.step.packing import collate
from tasks.training.step.packing_check import check_packing
from tasks.training.suitability import refuse_unsuitable
from tests.bases.architectures import ARCHITECTURES, GOLDEN, SIGLIP, SIZES, TEMPLATES, Architecture
from tests.tiny_model import _tiny_tokenizer

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing"),
    pytest.mark.filterwarnings("ignore:.*config.*:UserWarning"),
]
ROWS = [
    ("which states border texas?", "SELECT 1;"),
    ("the cat sat on the mat, and the dog did not.", "no"),
    ("2 + 2?", "4, and nothing else"),
    ("what is the capital of the state with the largest population?", "sacramento"),
    ("My printer on floor 3 does not print.", '{"category": "hardware"}'),
]


def written(one: Architecture, folder: Path) -> Path:
    """Write a base of this architecture with a tokenizer and a template of its makers' shape."""
    settings: dict[str, Any] = {**SIZES, **one.settings}
    if one.kind == "gemma3":
        text = {**settings, "head_dim": 8, "sliding_window": 256}
        config = transformers.Gemma3Config(text_config=text, vision_config=SIGLIP, mm_tokens_per_image=4)
    else:
        config = transformers.CONFIG_MAPPING[one.kind](**settings)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.eval().save_pretrained(folder)
    tokenizer = _tiny_tokenizer()
    tokenizer.chat_template = with_fixed_clock(TEMPLATES[one.template])
    tokenizer.save_pretrained(folder)
    return folder


def rendered(tokenizer: Any) -> list[TokenRow]:
    rows = [render_row(tokenizer, "Be brief.", *row) for row in ROWS]
    return [TokenRow(number, "g", row.prompt_ids, row.answer_ids) for number, row in enumerate(rows, start=1)]


@pytest.mark.parametrize("one", ARCHITECTURES, ids=lambda one: f"{one.kind}{'-window' * ('window' in one.plain)}")
def test_an_architecture_answers_and_trains_as_the_table_says(one: Architecture, tmp_path: Path) -> None:
    base, training = written(one, tmp_path), TrainingConfig(method="lora", rank=4)
    loaded = load_model.__wrapped__(base, dtype=torch.float32)
    rows = rendered(loaded.tokenizer)
    assert one.plain in (why_unsupported(loaded) or "") and bool(one.plain) == bool(why_unsupported(loaded))
    plain: dict[int, str] = {}

    def note(row: int, ids: list[int]) -> None:
        plain[row] = loaded.text(stopped(ids, loaded.stop_ids))

    prompts = [row.prompt_ids for row in rows]
    by_transformers(loaded, prompts, 6, note)
    assert [answer.text for answer in generate(loaded, prompts, 6)] == [plain[row] for row in range(len(rows))]
    if one.refused:
        with pytest.raises(ConfigRefused) as refusal:
            refuse_unsuitable(base, training)
        assert one.refused in str(refusal.value)
    else:
        refuse_unsuitable(base, training)
        takes_a_step(base, training, rows)


def stopped(ids: list[int], stops: frozenset[int]) -> list[int]:
    return ids[: next((place for place, token in enumerate(ids) if token in stops), len(ids))]


def takes_a_step(base: Path, training: TrainingConfig, rows: list[TokenRow]) -> None:
    """Hold that packed rows are answered as alone, that each adapter learns, and that a step lowers the loss."""
    model = load_for_training(base, training, torch.float32, "cpu").eval()  # without dropout
    trained = [part for part in model.parameters() if part.requires_grad]
    pack = collate(rows, common_prefix(rows))
    with answering(model) as head:
        check_packing(model, head, rows)
        before = pack_loss(model, head, pack, "cpu")
        before.backward()
        assert trained and all(part.grad is not None and part.grad.isfinite().all() for part in trained)
        torch.optim.AdamW(trained, 1e-3).step()
        assert pack_loss(model, head, pack, "cpu") < before


@pytest.mark.parametrize("shape", TEMPLATES)
def test_a_row_is_rendered_as_the_makers_of_its_template_do(shape: str) -> None:
    tokenizer = _tiny_tokenizer()
    tokenizer.chat_template = with_fixed_clock(TEMPLATES[shape])
    row = render_row(tokenizer, "Be brief.", "2 + 2?", "4")
    assert tokenizer.decode(row.prompt_ids + row.answer_ids) == GOLDEN[shape]


def test_the_page_on_bases_has_this_table() -> None:
    check = subprocess.run([sys.executable, "tools/bases_reference.py", "--check"], capture_output=True, text=True)
    assert check.returncode == 0, check.stdout + check.stderr
