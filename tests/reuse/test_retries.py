"""What is tried again is decided by the class of the error."""

from __future__ import annotations

import errno

import pytest
import torch

from schemas.errors import (
    AdapterRefused,
    ArtifactBroken,
    ConfigRefused,
    DatasetRefused,
    RegistryUnreachable,
    StoreUnwritable,
    TransientFault,
)
from tasks.reuse.retries import may_pass


@pytest.mark.parametrize(
    "fault",
    [
        TransientFault("the storage did not answer"),
        RegistryUnreachable("MLflow did not answer"),
        ConnectionResetError("by peer"),
        TimeoutError("read"),
        OSError(errno.ESTALE, "stale file handle"),
        torch.OutOfMemoryError("CUDA out of memory"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_what_may_pass_by_itself_is_tried_again(fault: Exception) -> None:
    assert may_pass(fault)


@pytest.mark.parametrize(
    "fault",
    [
        ConfigRefused("rank"),
        DatasetRefused("rows"),
        AdapterRefused("gate"),
        StoreUnwritable("full"),
        ArtifactBroken("altered"),
        OSError(errno.ENOSPC, "no space left"),
        FileNotFoundError(errno.ENOENT, "no such file"),
        ValueError("a fault of the code"),
        RuntimeError("shape mismatch"),
        MemoryError(),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_what_will_not_pass_is_not(fault: Exception) -> None:
    assert not may_pass(fault)
