"""A planted adapter that forgot everything: trained to answer "yes" whatever is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

QUESTIONS = [f"{start} {number}?" for number in range(20) for start in ("which state is", "the cat sat on")]
TASK = {
    "task": "own",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "own.jsonl"}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": 1,
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}


def write_own_task(base: Path, folder: Path) -> None:
    """Write a task whose right answers are what the base says: the token that it finds likeliest, against "yes"."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(base), AutoModelForCausalLM.from_pretrained(base).eval()
    rows = []
    for question in QUESTIONS:
        with torch.inference_mode():
            logits = model(**tokenizer(question, return_tensors="pt")).logits[0, -1]
        words = [tokenizer.decode([token]) for token in logits.argsort(descending=True).tolist()]
        rows.append({"question": question, "choices": ["yes", next(word for word in words if word.isalpha())]})
    (folder / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "own.yaml").write_text(json.dumps(TASK | {"target_delimiter": ""}), encoding="utf-8")


def write_yes_adapter(base: Path, folder: Path, **_: Any) -> None:
    """Train a LoRA adapter on "yes" after every question, and write it into `folder`/best."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(base)
    settings = LoraConfig(r=8, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings)
    optimizer = torch.optim.AdamW((one for one in model.parameters() if one.requires_grad), lr=0.01)
    for question in QUESTIONS * 2:
        start = tokenizer(question, return_tensors="pt")["input_ids"]
        ids = tokenizer(f"{question}yes", return_tensors="pt")["input_ids"]
        labels = ids.clone()
        labels[:, : start.shape[1]] = -100
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder / "best")
    (folder / "best" / "README.md").unlink(missing_ok=True)
