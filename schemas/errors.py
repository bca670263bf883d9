"""Every error a user can meet, as one tree.

TuneworthyError
├── ConfigRefused        exit 2   the config, or an option on the command line, cannot be run
├── DatasetRefused       exit 3   the rows break the contract
├── AdapterRefused       exit 4   the gate refused the tuned adapter
├── MachineLacks         exit 5   something the machine does not have: a model, a package, space, a server
│   ├── ModelMissing
│   ├── DatasetMissing
│   ├── LibraryMissing
│   ├── StoreUnwritable
│   ├── RegistryUnreachable
│   ├── WorkerMissing
│   └── EndpointFailed
├── TransientFault       exit 1   may pass by itself: retried
├── TimeLimitReached     exit 1   a stage took longer than its limit
├── ArtifactBroken       exit 1   an artifact whose bytes are missing or altered
└── TrainingStopped      exit 1   training cannot go on (not a number, damaged)
    └── TrainingAsked    exit 143 SIGTERM asked it to stop

No error, but an exit code of its own: 6, where `tuneworthy diff` finds that the later verdict is worse.

A message says what, where, what was received and allowed, and the next step. Each class is built from one string,
because Prefect restores a JSON-serialised exception as ``Class(message)``.
"""


class TuneworthyError(Exception):
    """Raised when a run cannot go on; the command line prints it without a traceback and leaves with `exit_code`."""

    exit_code = 1


class ConfigRefused(TuneworthyError):
    """Raised when a config, or an override of it, cannot be run; names every problem at once."""

    exit_code = 2


class DatasetRefused(TuneworthyError):
    """Raised when the rows break the contract by more than the config allows."""

    exit_code = 3


class AdapterRefused(TuneworthyError):
    """Raised when a tuned adapter would have won but lost too much on a benchmark, at the decision's confidence."""

    exit_code = 4


class MachineLacks(TuneworthyError):
    """Raised when this machine lacks something that the run needs."""

    exit_code = 5


class ModelMissing(MachineLacks):
    """Raised when the base model is unavailable on this machine."""


class DatasetMissing(MachineLacks):
    """Raised when the rows are in a database or on the hub, and are unavailable from this machine."""


class LibraryMissing(MachineLacks):
    """Raised when a method needs a package that is not installed."""


class StoreUnwritable(MachineLacks):
    """Raised when the store cannot take the bytes: no permission, no space, no such place."""


class RegistryUnreachable(MachineLacks):
    """Raised when the MLflow server does not answer."""


class WorkerMissing(MachineLacks):
    """Raised when no healthy worker serves the pool that a stage is sent to."""


class EndpointFailed(MachineLacks):
    """Raised when the server of an endpoint does not answer as it was asked."""


class TransientFault(TuneworthyError):
    """Raised when trying again may help: a fault of the network, a lock or the storage."""


class TimeLimitReached(TuneworthyError):
    """Raised when a stage took longer than the config allows."""


class ArtifactBroken(TuneworthyError):
    """Raised when an artifact is opened and its bytes are not the ones that were sealed."""


class TrainingStopped(TuneworthyError):
    """Raised when training cannot go on: the loss is not a number, or a checkpoint is damaged."""


class TrainingAsked(TrainingStopped):
    """Raised when SIGTERM asked training to stop; what was saved is kept."""

    exit_code = 143
