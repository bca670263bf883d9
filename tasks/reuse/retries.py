"""What is retried, decided by the class of the error: only transient faults.

network, storage, pre-emption    TransientFault, ConnectionError, TimeoutError, an MLflow server that does not answer,
                                 an errno of TRANSIENT
a full GPU                       torch's OutOfMemoryError: training has made its packs smaller already
                                 (tasks/training/running/out_of_memory.py), so another process uses the GPU
a config, the data, a gate, code never
a time limit                     never: it is there to end a stage
"""

from __future__ import annotations

import errno

from schemas.errors import RegistryUnreachable, TransientFault

TRANSIENT = frozenset(
    (
        errno.EIO,
        errno.ESTALE,
        errno.EAGAIN,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENETRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ETIMEDOUT,
    )
)


def may_pass(fault: BaseException) -> bool:
    """Tell whether the same call may work on another try."""
    if isinstance(fault, (TransientFault, RegistryUnreachable, ConnectionError, TimeoutError)):
        return True
    if isinstance(fault, OSError):
        return fault.errno in TRANSIENT
    return any((kind.__module__, kind.__name__) == ("torch", "OutOfMemoryError") for kind in type(fault).__mro__)
