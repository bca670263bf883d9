"""Loading a model for inference: the base alone, the base with an adapter, or a fully fine-tuned model."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from schemas.errors import LibraryMissing, TuneworthyError
from tasks.inference.precision import best_precision, numbered
from tasks.inference.prompts.rendering import TemplateFacts, template_facts
from tasks.inference.quietness import quietly
from tasks.reuse.memory import make_room, may_be_dropped

PROBE_TEXT = "The capital of the state is a city, and 12 of its rivers run south."


@dataclass(frozen=True)
class AdapterFolder:
    """The best/ or last/ folder of a sealed adapter artifact, and its training method: "qlora", "lora" or "full"."""

    folder: Path
    method: str

    @property
    def artifact(self) -> Path:
        """The opened adapter artifact that the folder is part of."""
        return self.folder.parent


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model in evaluation mode with its tokenizer; `reason` says which precision was chosen and why, and `stop_ids`
    end an answer.

    A forward pass changes settings of the model itself (which attention it uses, whether its adapter is on), so its
    caller holds `lock` (reentrant), and threads that share a model take turns.
    """

    model: Any
    tokenizer: Any
    dtype: Any
    reason: str
    stop_ids: frozenset[int]
    lock: AbstractContextManager[bool] = field(default_factory=threading.RLock, repr=False)

    @property
    def template(self) -> TemplateFacts:
        """What the chat template does."""
        return template_facts(self.tokenizer)

    def text(self, ids: list[int]) -> str:
        """Return an answer's text from its ids, without the white space that the template puts before answers."""
        text = str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
        return text.removeprefix(self.template.lead)

    @property
    def device(self) -> Any:
        """The device of the model's weights."""
        return next(self.model.parameters()).device

    @property
    def window(self) -> int:
        """The context window in tokens: prompt and answer together."""
        return int(
            getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
            or self.tokenizer.model_max_length
        )


@lru_cache(maxsize=1)
def load_model(folder: Path, *, adapter: AdapterFolder | None = None, dtype: Any = None) -> LoadedModel:
    """Load a model from sealed folders; the last one loaded is cached, so that arms that share it load it once.

    A QLoRA adapter is attached to the quantised base that it was fitted on, with the weights dequantised: the same
    numbers as 4-bit weights, at the speed of 16-bit ones.

    Args:
        folder: the sealed base model.
        adapter: what was fitted on it; None for the base alone.
        dtype: precision of the weights; the machine's fastest one when left out.

    Raises:
        TuneworthyError: the adapter changes nothing.
        LibraryMissing: a QLoRA adapter needs bitsandbytes and it is not installed.
    """
    from transformers import AutoTokenizer

    make_room()  # or the model before would be in memory while this one is loaded
    precision = best_precision()
    chosen, reason = (
        (dtype, "as requested") if dtype is not None else (precision.dtype, f"{precision.name}: {precision.reason}")
    )
    tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    with quietly():
        model = _model(folder, adapter, tokenizer, chosen)
    return LoadedModel(_ready(model), tokenizer, chosen, reason, _stop_ids(model, tokenizer))


may_be_dropped(load_model.cache_clear)


def _model(folder: Path, adapter: AdapterFolder | None, tokenizer: Any, dtype: Any) -> Any:
    if adapter is None:
        return plain_model(folder, dtype)
    if adapter.method == "full":
        return _fully_tuned(folder, adapter, tokenizer, dtype)
    base = quantised_model(folder, dtype) if adapter.method == "qlora" else plain_model(folder, dtype)
    return _with_adapter(base, adapter, tokenizer, dtype)


def _stop_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end an answer: the template's, and the model's own."""
    own = model.generation_config.eos_token_id
    return frozenset(
        [template_facts(tokenizer).stop_id, *(own if isinstance(own, list) else [own] if own is not None else [])]
    )


def plain_model(folder: Path, dtype: Any) -> Any:
    """Load a folder's weights in one precision onto the machine's device, without gradients."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        str(folder), dtype=dtype, trust_remote_code=False, local_files_only=True, use_safetensors=True
    )
    return _ready(model.to(best_device()))


def quantised_model(folder: Path, dtype: Any) -> Any:
    """Load a folder's weights quantised to NF4 with double quantisation, then dequantised to `dtype`.

    Raises:
        LibraryMissing: bitsandbytes is not installed.
    """
    try:
        from transformers import AutoModelForCausalLM, BitsAndBytesConfig

        quantised = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
        )
        model = AutoModelForCausalLM.from_pretrained(
            str(folder),
            dtype=dtype,
            quantization_config=quantised,
            device_map={"": numbered(best_device())},
            trust_remote_code=False,
            local_files_only=True,
            use_safetensors=True,
        )
    except ImportError as fault:
        raise LibraryMissing(
            f'training.method "qlora" needs bitsandbytes ({fault}). Install it with `pip install bitsandbytes`, or '
            'set "lora".'
        ) from fault
    return _ready(model.dequantize().to(dtype))


def best_device() -> str:
    """Return the device that models run on."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _with_adapter(base: Any, adapter: AdapterFolder, tokenizer: Any, dtype: Any) -> Any:
    from peft import PeftModel

    before = _probe_logits(base, tokenizer)
    model = PeftModel.from_pretrained(
        base, str(adapter.folder), autocast_adapter_dtype=False, local_files_only=True
    ).to(dtype)
    _check_change(before, _probe_logits(_ready(model), tokenizer), adapter)
    return model


def _fully_tuned(folder: Path, adapter: AdapterFolder, tokenizer: Any, dtype: Any) -> Any:
    from safetensors.torch import load_model as load_weights

    model = plain_model(folder, dtype)
    before = _probe_logits(model, tokenizer)
    load_weights(model, str(adapter.folder / "model.safetensors"), strict=True)
    _check_change(before, _probe_logits(_ready(model.to(dtype)), tokenizer), adapter)
    return model


def _check_change(before: Any, after: Any, adapter: AdapterFolder) -> None:
    if bool((before == after).all()):
        raise TuneworthyError(
            f"The {adapter.method} adapter changes nothing: the model gives the same logits with and without it, so "
            "its score would be that of the base. Check training.learning_rate and training.epochs, and the adapter's "
            "files."
        )


def _probe_logits(model: Any, tokenizer: Any) -> Any:
    import torch

    with torch.inference_mode():
        ids = torch.tensor(
            [tokenizer(PROBE_TEXT, add_special_tokens=False)["input_ids"]], device=next(model.parameters()).device
        )
        return model(input_ids=ids, use_cache=False).logits.float()


def _ready(model: Any) -> Any:
    return model.requires_grad_(False).eval()
