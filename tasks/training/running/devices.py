"""Training on several devices of one machine: one process a device, started by torch.multiprocessing and synchronised
by transformers' Trainer (DDP). Every step has the rows that it has in one process.

`accelerate launch` starts no processes on a CPU without MPI, and torchrun puts a launcher between parent and processes,
through which signals and errors have to be passed on.

The first process puts its progress into a queue, any process its error; the parent asks them to stop by an event. When
the parent dies, so do they: another run may use the same work directory by then.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import MachineLacks, TrainingStopped, TuneworthyError
from tasks.reuse.progress import SILENT, Reporter
from tasks.training.running.out_of_memory import StartAgain
from tasks.training.running.stopping import Stop, stoppable

if TYPE_CHECKING:
    from tasks.reuse.stage import WorkDirectory

# Names an accelerate config file that says how the model is spread over the cards (configs/accelerate/); without one
# each card holds the whole model.
ACCELERATE = "TUNEWORTHY_ACCELERATE"
LOG = "processes.log"
RENDEZVOUS = "rendezvous"


def run_on_devices(work: Callable[..., object], devices: int, device: str, workdir: WorkDirectory) -> None:
    """Call `work(workdir=..., stop=...)`, here for one device and in a process each for several; return at its end, or
    when it has stopped after a SIGTERM.

    Raises:
        MachineLacks: there are fewer cards than devices were asked for.
        TuneworthyError: what a process raised.
        TrainingStopped: a process ended without an error of ours; the message holds the end of its output.
    """
    refuse_too_many(devices, device)
    with stoppable() as stop:
        if devices == 1:
            work(workdir=workdir, stop=stop)
            return None
        workdir.reporter.say(f"devices: {devices} processes on {device}, each with its share of every step's rows")
        while True:
            try:
                return _run_processes(work, devices, device, workdir, stop)
            except StartAgain:
                workdir.reporter.say("all processes start again from the last checkpoint")


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


def _run_processes(work: Callable[..., object], devices: int, device: str, workdir: WorkDirectory, stop: Stop) -> None:
    from accelerate.utils import patch_environment
    from torch.multiprocessing import ProcessExitedException, ProcessRaisedException, start_processes

    context = multiprocessing.get_context("spawn")
    messages, asked = context.SimpleQueue(), context.Event()
    (workdir.folder / LOG).write_text("", encoding="utf-8")
    (workdir.folder / RENDEZVOUS).unlink(missing_ok=True)
    with patch_environment(**_environment(devices)):
        arguments = (work, devices, device, workdir.folder, workdir.store.root, messages, asked)
        running = start_processes(_process, arguments, devices, join=False, start_method="spawn")
    try:
        while not running.join(timeout=0.1, grace_period=5):
            _pass_on(messages, workdir.reporter)
            if stop.is_set():
                asked.set()
        _pass_on(messages, workdir.reporter)
    except (ProcessExitedException, ProcessRaisedException) as ended:
        _pass_on(messages, workdir.reporter)
        output = (workdir.folder / LOG).read_text(encoding="utf-8", errors="replace")[-1500:]
        raise TrainingStopped(
            f"A training process ended unexpectedly: {ended}. Run again: training resumes from its last "
            f"checkpoint.\n{output}"
        ) from ended
    finally:
        for process in running.processes:
            process.kill()
            process.join()


def _environment(devices: int) -> dict[str, str]:
    # Processes on one CPU share its cores.
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // devices))
    config = os.environ.get(ACCELERATE)
    return {"OMP_NUM_THREADS": threads} | (spread_environment(config, devices) if config else {})


def spread_environment(config: str, devices: int) -> dict[str, str]:
    """Return what `accelerate launch --config_file CONFIG` would add to the environment of its processes."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env

    command = ["--config_file", config, "--num_processes", str(devices), "--main_process_port", "0", "-m", __name__]
    arguments, given, _ = _validate_launch_command(launch_command_parser().parse_args(command))
    if arguments.use_deepspeed:
        arguments.deepspeed_fields_from_accelerate_config = ",".join(given.deepspeed_config)
        _, environment = prepare_deepspeed_cmd_env(arguments)
    else:
        environment = prepare_multi_gpu_env(arguments)
    return {name: value for name, value in environment.items() if os.environ.get(name) != value}


def _pass_on(messages: Any, reporter: Reporter) -> None:
    """Pass what is in the queue on to the reporter; raise the first error."""
    while not messages.empty():
        message = messages.get()
        if isinstance(message, Exception):
            raise message
        name, arguments = message
        getattr(reporter, name)(*arguments)


class QueueReporter(Reporter):
    """Puts what is reported into a queue, for the parent's reporter."""

    def __init__(self, messages: Any) -> None:
        self.messages = messages

    def advance(self, done: float, total: float, note: str = "") -> None:
        """Put a step into the queue."""
        self.messages.put(("advance", (done, total, note)))

    def measured(self, step: int, numbers: dict[str, float]) -> None:
        """Put measurements into the queue."""
        self.messages.put(("measured", (step, numbers)))

    def say(self, line: str) -> None:
        """Put a line into the queue."""
        self.messages.put(("say", (line,)))


def _process(
    rank: int,
    work: Callable[..., object],
    devices: int,
    device: str,
    folder: Path,
    store: Path,
    messages: Any,
    asked: Any,
) -> None:
    """Join the process group and do the work, as the process of this rank."""
    import torch

    from tasks.reuse.stage import WorkDirectory
    from tasks.reuse.store import ArtifactStore

    _follow_parent()
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    os.environ |= {"WORLD_SIZE": str(devices), "LOCAL_WORLD_SIZE": str(devices)}
    _redirect_output(folder / LOG)
    if device == "cuda":
        torch.cuda.set_device(rank)
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    rendezvous = torch.distributed.FileStore(str(folder / RENDEZVOUS), devices)
    torch.distributed.init_process_group(backend, store=rendezvous, rank=rank, world_size=devices)
    workdir = WorkDirectory(folder, ArtifactStore(store), QueueReporter(messages) if rank == 0 else SILENT)
    try:
        work(workdir=workdir, stop=asked)
    except (TuneworthyError, StartAgain) as error:
        messages.put(error)
        raise


def _follow_parent() -> None:
    """Die with the parent, and leave SIGTERM to it.

    torch has the kernel send SIGINT when the parent dies; by its default action it ends even a process that waits for
    another one inside of torch. A parent that died before that is noticed here.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None or not parent.is_alive():
        sys.exit("The parent of this training process has ended.")


def _redirect_output(log: Path) -> None:
    """Keep what libraries print out of the terminal."""
    warnings.simplefilter("ignore")
    with log.open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
