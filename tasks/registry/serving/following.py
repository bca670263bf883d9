"""A name that is served: the version behind it now, and the next one when its alias moves."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tasks.registry.serving.serving_version import ServingVersion

Load = Callable[[str], ServingVersion]


class Followed:
    """Holds the version that answers; when its alias moves, the next one takes over; requests end where they began."""

    def __init__(self, find: Callable[[], str], load: Load, say: Callable[[str], None], seconds: float) -> None:
        """Load the version of now.

        Args:
            find: returns the number that the name means at this moment.
            load: makes a version by its number ready.
            say: told what changed, or why nothing could.
            seconds: between two looks; 0 looks once.
        """
        self._find, self._load, self._say = find, load, say
        self._seconds, self._is_over = seconds, threading.Event()
        self.now = load(find())
        if seconds:
            threading.Thread(target=self._follow, name="alias", daemon=True).start()

    def close(self) -> None:
        """End after the requests under way."""
        self._is_over.set()
        self.now.engine.close()

    def _follow(self) -> None:
        while not self._is_over.wait(self._seconds):
            try:
                self.look()
            except Exception as fault:  # noqa: BLE001 - what is served goes on, and so do the looks
                self._say(f"{self.now.name} stays at version {self.now.version}: {fault}")

    def look(self) -> None:
        """Take the next version over if the name means another one now."""
        version = self._find()
        if version == self.now.version:
            return
        before, self.now = self.now, self._load(version)
        self._say(f"{self.now.name} is version {version} now; it was {before.version}")
        before.engine.close()
