"""What makes a function a stage. Who writes a stage needs these five things and nothing else of this room.

- ``@stage(libraries=(...))`` (stage.py) on a function ``verb_object(settings, artifacts, *, workdir) -> SomeArtifact``
  in a room's task.py. Import the engine inside the function: a run that finds everything in the store loads none of it.
- ``workdir: WorkDirectory``: write what is to be sealed into ``workdir.out``; ``workdir.folder`` survives a crash, so
  checkpoints lie there; ``workdir.open(artifact)`` is the checked folder of an input.
- ``workdir.reporter`` (progress.py): ``say`` a decision, ``advance`` a count, show a ``table``.
- The key is made of the arguments (settings by value, artifacts and files by digest), the parsed source of every module
  of ours that the stage imports, and the versions of ``libraries``: name those that move its numbers. Paths, times and
  this room's own source are in no key.
- Raise a class of schemas/errors.py; retries.py decides by the class whether Prefect tries again.

Behind that: keys.py makes keys; store.py, remote_store.py and current_store.py keep bytes and records; locks.py lets
one worker at a time make an artifact; planning.py runs a flow's body without running a stage; prefect_tasks.py shows a
stage to Prefect; upkeep.py verifies and collects; sources.py digests files outside the store; memory.py measures peaks.
"""
