"""A flow that lives until it is killed, for tests of who is taken for dead."""

from __future__ import annotations

import time
from pathlib import Path

from prefect import flow
from prefect.settings import get_current_settings


@flow(persist_result=False)
def sleep(note: str) -> None:
    """Write down how often this run sends a heartbeat, in seconds, and live on."""
    Path(note).write_text(str(get_current_settings().flows.heartbeat_frequency))
    time.sleep(3600)
