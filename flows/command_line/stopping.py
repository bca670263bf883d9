"""How a command ends when it is told to: by Ctrl-C, by SIGTERM, or because its terminal was closed."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import NoReturn

STOPPED = "Stopped. What was sealed stays in the store; run the same command to go on."


def end_on_signals() -> None:
    """Make SIGTERM and SIGHUP end this process as an error would, so that leases on a shared store are given back."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves it
            signal.signal(number, lambda number, frame: sys.exit(128 + number))


def leave(exit_code: int) -> NoReturn:
    """Leave at once after a signal: the server that was started for this command, and what would still be sent to it,
    take longer than somebody who pressed Ctrl-C waits. Leases were given back on the way here.
    """
    server = sys.modules.get("prefect.server.api.server")
    for started in list(server.SubprocessASGIServer._instances.values()) if server else ():
        if started.server_process:
            started.server_process.kill()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def detach_server() -> None:
    """Give the server that Prefect starts for a run a session of its own: Ctrl-C and SIGTERM to our process group would
    end it before us, and the run would wait for it for a minute.
    """
    if os.environ.get("PREFECT_API_URL"):
        return
    from prefect.server.api import server

    detached = functools.partial(subprocess.Popen, start_new_session=True)
    vars(server)["subprocess"] = SimpleNamespace(**{**vars(subprocess), "Popen": detached})
