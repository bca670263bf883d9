"""The architectures that are tried, and what each supports: docs/bases.md is written from this, and test_bases.py holds
it to the truth.
"""
# ruff: noqa: E501, RUF012

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

SIZES: dict[str, Any] = {
    "vocab_size": 384,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    # Larger than usual, or a random model answers nearly the same to everything.
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
EXPERTS = {
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
}
DEEPSEEK = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "num_key_value_heads": 4,
}
SLIDING = {"layer_types": ["sliding_attention", "full_attention"]}
LINEAR = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "shared_expert_intermediate_size": 32,
}
SIGLIP = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}


class Architecture(NamedTuple):
    """A kind of model, as config.json names it.

    `plain`: why its answers are decoded by transformers' own generate, "" where a shared prefix is read once.
    `refused`: why it cannot be trained, "" where it is trained on packed rows.
    """

    kind: str
    template: str
    settings: dict[str, Any] = {}
    plain: str = ""
    refused: str = ""
    note: str = ""


ARCHITECTURES = (
    Architecture("llama", "llama3"),
    Architecture("qwen2", "chatml"),
    Architecture("qwen3", "thinking"),
    Architecture("qwen3_moe", "thinking", EXPERTS, note="adapters on attention; experts as they are"),
    Architecture("qwen3_next", "thinking", EXPERTS | LINEAR, "linear_attention layers", "linear_attention layers"),
    Architecture("mistral", "spaced", {"sliding_window": None}),
    Architecture(
        "mistral",
        "spaced",
        {"sliding_window": 256},
        "sliding-window attention sees only the last 256 tokens",
        note="with a window: trained while rows are shorter than it",
    ),
    Architecture("ministral", "spaced", SLIDING | {"head_dim": 8}, "sliding_attention layers"),
    Architecture("mixtral", "spaced", EXPERTS, note="adapters on attention; experts as they are"),
    Architecture("gemma", "turns"),
    Architecture("gemma2", "turns", {}, "sliding_attention layers", "attn_logit_softcapping"),
    Architecture("gemma3_text", "turns", SLIDING, "sliding_attention layers"),
    Architecture(
        "gemma3", "turns", SLIDING, "sliding_attention layers", note="with images: the tower is left as it is"
    ),
    Architecture("phi", "chatml"),
    Architecture("phi3", "chatml"),
    Architecture("olmo2", "chatml"),
    Architecture("smollm3", "dated"),
    Architecture("glm4", "chatml"),
    Architecture("granite", "chatml", {"logits_scaling": 4.0}, "", "scales its logits (logits_scaling)"),
    Architecture("cohere", "chatml", {}, "", "scales its logits (logit_scale)"),
    Architecture("cohere2", "chatml", SLIDING, "sliding_attention layers", "scales its logits (logit_scale)"),
    Architecture("starcoder2", "chatml"),
    Architecture("gpt2", "chatml", {}, "", "its layers are Conv1D", 'trained whole (training.method "full")'),
    Architecture("gpt_neox", "chatml"),
    Architecture("opt", "chatml"),
    Architecture(
        "falcon", "chatml", {"num_kv_heads": 2}, "its logits would change", "the attention of falcon be replaced"
    ),
    Architecture("bloom", "chatml", {}, "its logits would change", "the attention of bloom be replaced"),
    Architecture("deepseek_v3", "chatml", DEEPSEEK, "Q/K/V should have the same head size"),
    Architecture("gpt_oss", "chatml", EXPERTS | SLIDING, "sliding_attention layers", "its attention has sinks (s_aux)"),
    Architecture("lfm2", "chatml", {"layer_types": ["conv", "full_attention"]}, "conv layers", "conv layers"),
    Architecture("exaone4", "chatml", SLIDING, "sliding_attention layers"),
)

# Shapes of chat templates; the tokenizer's special tokens are <|im_start|>, <|im_end|> and <|endoftext|>.
LOOP = "{% for m in messages %}"
TEMPLATES = {
    "chatml": LOOP + "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "llama3": "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}{{ bos_token }}"
    "{{ 'Today Date: ' + date_string + '\n' }}"
    + LOOP
    + "{{ '<|im_start|>' + m.role + '\n\n' + m.content | trim + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n\n' }}{% endif %}",
    "spaced": "{{ bos_token }}{% if messages[0].role == 'system' %}{% set system = messages[0].content + '\n\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}"
    + LOOP
    + "{% if m.role == 'user' %}{{ '[INST] ' + (system if loop.last else '') + m.content + '[/INST]' }}"
    "{% elif m.role == 'assistant' %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}",
    "turns": "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}"
    + LOOP
    + "{{ '<|im_start|>' + ('model' if m.role == 'assistant' else m.role) + '\n' + m.content | trim "
    "+ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>model\n' }}{% endif %}",
    "thinking": LOOP + "{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' and loop.last %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{{ m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% if enable_thinking is defined and not enable_thinking "
    "%}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}",
    "dated": "{{ '<|im_start|>system\nToday Date: ' + strftime_now('%d %B %Y') + '\n' }}"
    "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% set messages = messages[1:] %}{% endif %}"
    "{{ '<|im_end|>\n' }}" + LOOP + "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
}
GOLDEN = {
    "chatml": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n4<|im_end|>",
    "llama3": "<|im_start|>Today Date: 01 Jan 2026\n<|im_start|>system\n\nBe brief.<|im_end|><|im_start|>user\n\n2 + 2?"
    "<|im_end|><|im_start|>assistant\n\n4<|im_end|>",
    "spaced": "<|im_start|>[INST] Be brief.\n\n2 + 2?[/INST] 4<|im_end|>",
    "turns": "<|im_start|><|im_start|>user\nBe brief.\n\n2 + 2?<|im_end|>\n<|im_start|>model\n4<|im_end|>",
    "thinking": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n<think>"
    "\n\n</think>\n\n4<|im_end|>",
    "dated": "<|im_start|>system\nToday Date: 01 January 2026\nBe brief.<|im_end|>\n<|im_start|>user\n2 + 2?<|im_end|>\n"
    "<|im_start|>assistant\n4<|im_end|>",
}


def table() -> Iterator[str]:
    """Yield the lines of the table in docs/bases.md."""
    yield "| model_type | Answers | Training | |"
    yield "|---|---|---|---|"
    for one in ARCHITECTURES:
        answers = f"transformers' generate: {one.plain}" if one.plain else "shared prefix"
        yield f"| {one.kind} | {answers} | {f'refused: {one.refused}' if one.refused else 'packed rows'} | {one.note} |"
