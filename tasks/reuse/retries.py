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

OF_A_DISK = {errno.EIO, errno.ESTALE, errno.EAGAIN}
OF_A_NETWORK = {errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.ETIMEDOUT}
TRANSIENT = frozenset(OF_A_DISK | OF_A_NETWORK | {errno.EHOSTDOWN, errno.EHOSTUNREACH})


def may_pass(fault: BaseException) -> bool:
    """Tell whether the same call may work on another try."""
    if isinstance(fault, (TransientFault, RegistryUnreachable, ConnectionError, TimeoutError)):
        return True
    if isinstance(fault, OSError):
        return fault.errno in TRANSIENT
    return any((kind.__module__, kind.__name__) == ("torch", "OutOfMemoryError") for kind in type(fault).__mro__)
