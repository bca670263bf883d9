"""Training on several devices: a process for each, started by the launcher beneath ``accelerate launch``; every step
sees the rows that it has on one.

    python -m tasks.training.running.devices BENCH/job.json 2      the launcher of two processes
    python -m tasks.training.running.devices BENCH/job.json        one of them

The first is what `train_on` starts and follows. The first process tells how far it is, one JSON line each; one that
gives up leaves its error in BENCH/fault.json. What the parent asks of them it asks by files too: BENCH/stop, as signals
would reach the launcher first, which then waits for nothing. When the parent dies, so do they: another run may be at
the same workdir by then.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import schemas.errors
from schemas.errors import MachineLacks, TrainingStopped, TuneworthyError
from schemas.training_config import TrainingConfig
from tasks.reuse.progress import SILENT, Reporter
from tasks.training.running.process_group import StartAgain
from tasks.training.running.stopping import Stop, stoppable

if TYPE_CHECKING:
    from tasks.reuse.stage import WorkDirectory

MODULE = "tasks.training.running.devices"
# Names a file of accelerate's own that says how the model is spread over the cards (configs/accelerate/); each holds it
# whole without one.
ACCELERATE = "TUNEWORTHY_ACCELERATE"
PARENT = "TUNEWORTHY_PARENT"  # the process that a process must not outlive
JOB, FAULT, STOP, LOG = "job.json", "fault.json", "stop", "processes.log"
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


@dataclass(frozen=True)
class Job:
    """What each process needs to know; paths, as they all stand on one machine."""

    training: dict[str, Any]
    instruction: str
    base: str
    rows: str
    seed: int
    folder: str
    store: str

    def write(self) -> Path:
        """Write the job beside the checkpoints and return where it is."""
        path = Path(self.folder) / JOB
        path.write_text(json.dumps(self.__dict__), encoding="utf-8")
        return path


def refuse_too_many(devices: int, device: str) -> None:
    """Refuse more processes than there are cards.

    Raises:
        MachineLacks: training.devices asks for more; the message says how many there are.
    """
    import torch

    if device == "cuda" and devices > torch.cuda.device_count():
        raise MachineLacks(
            f"training.devices {devices}: this machine has {torch.cuda.device_count()}. Allowed here: 1 to "
            f"{torch.cuda.device_count()}."
        )


def train_on(job: Job, devices: int, device: str, workdir: WorkDirectory) -> bool:
    """Run the processes to their end, or until this process is asked to stop; return whether it was.

    Raises:
        TuneworthyError: what a process raised, as it raised it.
        TrainingStopped: a process ended without saying why; the message holds the end of its output.
    """
    (workdir.folder / STOP).unlink(missing_ok=True)
    with stoppable() as stop:
        while _run_once(job, devices, device, workdir, stop) is StartAgain:
            workdir.reporter.say("all processes start again at the last checkpoint")
    return stop.is_asked


def _run_once(job: Job, devices: int, device: str, workdir: WorkDirectory, stop: Stop) -> type[StartAgain] | None:
    (workdir.folder / FAULT).unlink(missing_ok=True)
    command = [sys.executable, "-W", "ignore", "-m", MODULE, str(job.write()), str(devices)]
    places: dict[str, Any] = {"env": _environment(devices, device), "stdout": subprocess.PIPE, "text": True}
    with (
        (workdir.folder / LOG).open("w", encoding="utf-8") as log,
        subprocess.Popen(command, stderr=log, **places) as process,
    ):
        try:
            _follow(process, workdir, stop)
        finally:
            process.kill()  # nothing when it has ended, and its processes die with it
    return _outcome(workdir.folder, process.returncode)


def _environment(devices: int, device: str) -> dict[str, str]:
    # Processes on one processor share its cores.
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // devices))
    found = os.environ | {
        PARENT: str(os.getpid()),
        "OMP_NUM_THREADS": threads,
        "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
    }
    return found | ({"ACCELERATE_USE_CPU": "true"} if device == "cpu" else {})


def _follow(process: subprocess.Popen[str], workdir: WorkDirectory, stop: Stop) -> None:
    for line in process.stdout or ():
        if stop.is_asked:
            (workdir.folder / STOP).touch()
        for what, arguments in _told(line).items():
            getattr(workdir.reporter, what)(*arguments)
    process.wait()


def _told(line: str) -> dict[str, list[Any]]:
    """Return what a line tells: a method of the reporter and its arguments; nothing where a library printed it."""
    try:
        told = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return (
        {what: told[what] for what in ("advance", "measured", "say") if what in told} if isinstance(told, dict) else {}
    )


def _outcome(folder: Path, code: int) -> type[StartAgain] | None:
    if code == 0:
        return None
    if not (folder / FAULT).exists():
        tail = (folder / LOG).read_text(encoding="utf-8", errors="replace")[-1500:]
        raise TrainingStopped(
            f"A training process ended with code {code} and did not say why. Run again: training goes on from its "
            f"last checkpoint.\n{tail}"
        )
    fault = json.loads((folder / FAULT).read_text(encoding="utf-8"))
    if fault["error"] == StartAgain.__name__:
        return StartAgain
    raise getattr(schemas.errors, fault["error"], TrainingStopped)(fault["message"])


class AskedByFile(Stop):
    """The wish to stop as a file beside the checkpoints."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def is_asked(self) -> bool:  # type: ignore[override]
        """Whether the file is there."""
        return self.path.exists()


class Told(Reporter):
    """Prints what is to be passed on, one JSON line each."""

    def advance(self, done: float, total: float, note: str = "") -> None:
        """Print a step."""
        sys.stdout.write(json.dumps({"advance": [done, total, note]}) + "\n")
        sys.stdout.flush()

    def measured(self, step: int, numbers: dict[str, float]) -> None:
        """Print what was measured."""
        sys.stdout.write(json.dumps({"measured": [step, numbers]}) + "\n")
        sys.stdout.flush()

    def say(self, line: str) -> None:
        """Print a line."""
        sys.stdout.write(json.dumps({"say": [line]}) + "\n")
        sys.stdout.flush()


def _die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends; one that ended while this process was still loading is
    looked for.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != int(os.environ.get(PARENT, os.getppid())):
        os._exit(1)


def _noting_faults(folder: Path, work: Callable[[], object]) -> int:
    """Do the work and return the process's exit code; an error of ours is left for the parent, the first one's if there
    are several.
    """
    try:
        work()
    except (TuneworthyError, StartAgain) as error:
        with contextlib.suppress(FileExistsError), (folder / FAULT).open("x", encoding="utf-8") as file:
            json.dump({"error": type(error).__name__, "message": str(error)}, file)
        return 1
    return 0


def _launch(devices: str, path: str) -> None:
    if spread := os.environ.get(ACCELERATE):
        del os.environ[PARENT]  # DeepSpeed's launcher puts a process of its own in between
        from accelerate.commands.launch import launch_command, launch_command_parser

        launch_command(
            launch_command_parser().parse_args(
                ["--config_file", spread, "--num_processes", devices, "-m", MODULE, path]
            )
        )
        return
    from torch.distributed.run import main as launch

    os.environ[PARENT] = str(os.getpid())
    launch(["--standalone", "--nproc-per-node", devices, "-m", MODULE, path])


def main(path: str, devices: str | None = None) -> int:
    """Be the launcher of so many processes, or one of them."""
    import torch

    from tasks.reuse.stage import WorkDirectory
    from tasks.reuse.store import ArtifactStore
    from tasks.training.fitting import prepare_dataset, train

    _die_with_parent()
    if devices is not None:
        _launch(devices, path)
        return 0
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    job = Job(**json.loads(Path(path).read_text(encoding="utf-8")))
    told = Told() if os.environ["RANK"] == "0" else SILENT
    training, base, folder = TrainingConfig(**job.training), Path(job.base), Path(job.folder)

    def work() -> None:
        dataset = prepare_dataset(training, job.instruction, base, Path(job.rows), job.seed, SILENT)
        train(
            training,
            base,
            dataset,
            job.seed,
            WorkDirectory(folder, ArtifactStore(Path(job.store)), told),
            None,
            AskedByFile(folder / STOP),
        )

    return _noting_faults(folder, work)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
