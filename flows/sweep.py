"""A search over training settings that never looks at the held-out rows: trials are judged by the loss on the
validation groups of the train side.

Successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943): every combination is fitted for a third of the
epochs, and the better half for all of them. Beyond a grid, each trial is proposed from those before it by Optuna's TPE
(Bergstra et al. 2011), seeded, so that the same search asks again for the same trials. A fit is the same stage as in
`finetune`, so every trial is in the store.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prefect import flow
from pydantic import ValidationError

from flows.arms import with_index
from flows.inputs.rows import checked_rows
from flows.inputs.sources import locate
from flows.mending import retry_when_broken
from schemas.artifacts import AdapterArtifact
from schemas.config import RunConfig
from schemas.errors import ConfigRefused
from schemas.sections.section import NOT_IN_KEY
from schemas.sections.training import TrainingConfig
from tasks.base.task import fetch_base
from tasks.data.task import check_rendering, read_slices
from tasks.reuse.planning import enter_run
from tasks.reuse.prefect_tasks import publish_table
from tasks.training.task import gather_replay, train_adapter

Point = dict[str, Any]
Space = dict[str, list[Any] | tuple[float, float]]  # of each setting its values, or the two ends of a range
FEW = 3  # trials that are all fitted to their end
SHARE = 3  # of the epochs, in the first round
MOST = 500


@dataclass(frozen=True)
class Trial:
    """One fit of a sweep: what it was given, for how many epochs, and its validation loss."""

    settings: Point
    epochs: float
    validation_loss: float
    seconds: float

    def as_row(self) -> dict[str, Any]:
        """Return one line of a table."""
        return {**self.settings, "epochs": self.epochs, "validation loss": round(self.validation_loss, 4)}


def grid_points(config: RunConfig, grid: Mapping[str, Sequence[Any]]) -> list[Point]:
    """Return every combination of a grid, the settings by their names below `training`.

    Raises:
        ConfigRefused: a setting moves no fit or does not exist, a value is not allowed, or nothing can judge a trial.
    """
    problems = [problem for name in grid if (problem := _unfit(name))]
    problems += [f"{name}: give at least two values" for name, values in grid.items() if len(values) < 2]
    if config.training.validation == 0 or "training.validation" in grid:
        problems.append("training.validation: trials are judged by the same share of the train groups; set it above 0")
    if not config.arms.trained:
        problems.append("arms.trained: nothing is tuned; name tuned or tuned_retrieval")
    if config.training.where is not None:
        problems.append("training.where: a sweep trains here; leave it out (--set training.where=null)")
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    if len(points) > MOST:
        problems.append(f"{len(points)} combinations are more than {MOST}; name fewer values")
    if not problems:
        problems = [problem for point in points if (problem := _refused(config, point))]
    if problems:
        raise ConfigRefused("The grid cannot be searched:\n" + "\n".join(f"  {line}" for line in problems))
    return points


def _unfit(name: str) -> str | None:
    section, _, setting = name.partition(".")
    field = TrainingConfig.model_fields.get(setting) if section == "training" else None
    movers = sorted(one for one, info in TrainingConfig.model_fields.items() if info.json_schema_extra != NOT_IN_KEY)
    if field is not None and setting in movers:
        return None
    allowed = ", ".join(f"training.{one}" for one in movers if one != "validation")
    return f"{name}: no fit depends on it. Allowed are {allowed}"


def _refused(config: RunConfig, point: Point) -> str | None:
    try:
        with_settings(config, point)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        return f"{in_words(point)}: {fault['msg'].removeprefix('Value error, ')}"
    return None


def in_words(point: Point) -> str:
    """Return settings as they are given to `--set`."""
    return ", ".join(f"{name}={value}" for name, value in point.items())


def with_settings(config: RunConfig, point: Point) -> RunConfig:
    """Return the config with these training settings.

    Raises:
        ValidationError: a value is not allowed.
    """
    values = {name.removeprefix("training."): value for name, value in point.items()}
    training = TrainingConfig.model_validate({**config.training.model_dump(), **values})
    return config.model_copy(update={"training": training})


def checked(config: RunConfig, space: Space) -> Space:
    """Return a space of which every corner can be fitted.

    Raises:
        ConfigRefused: as in grid_points, for the ends of ranges and for every value.
    """
    grid_points(config, {name: list(values) for name, values in space.items()})
    return space


@flow(name="search", flow_run_name="{config.name}", persist_result=False)
@retry_when_broken
def search(config: RunConfig, space: Space, trials: int) -> list[Trial]:
    """Fit so many trials, each proposed from those before it, and return them, the best first; in a plan, those that
    are in the store.
    """
    import optuna

    enter_run(config.name, config.stages)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    blind = max(3, trials // 4)  # drawn at random before anything is proposed
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=config.seed, n_startup_trials=blind))
    axes = {name: _axis(values) for name, values in space.items()}
    found: list[Trial] = []
    for _ in range(trials):
        asked = study.ask(axes)
        point = {name: float(f"{at:.3g}") if isinstance(at, float) else at for name, at in asked.params.items()}
        fitted = _fitted(config, [point], 1)
        if not fitted:
            break  # a plan: what would be asked next depends on this one
        study.tell(asked, fitted[0].validation_loss)
        found += fitted
    found.sort(key=lambda trial: trial.validation_loss)
    publish_table("trials", [trial.as_row() for trial in found], "Trials by their loss on the validation groups")
    return found


def _axis(values: list[Any] | tuple[float, float]) -> Any:
    """Return a setting's values as Optuna takes them: a range is searched by its logarithm from a factor of 10 on."""
    from optuna import distributions

    if isinstance(values, list):
        return distributions.CategoricalDistribution(values)
    low, high = values
    is_wide = low > 0 and high >= 10 * low
    if isinstance(low, int) and isinstance(high, int):
        return distributions.IntDistribution(low, high, log=is_wide)
    return distributions.FloatDistribution(low, high, log=is_wide)


@flow(name="sweep", flow_run_name="{config.name}", persist_result=False)
@retry_when_broken
def sweep(config: RunConfig, points: list[Point]) -> list[Trial]:
    """Fit every combination and return the trials, the best first; in a plan, those that are in the store.

    The held-out rows take no part. Trials of the last round come first, as a loss after fewer epochs says less.
    """
    enter_run(config.name, config.stages)
    first = _fitted(config, points, SHARE) if len(points) > FEW else []
    going_on = [trial.settings for trial in first[: math.ceil(len(points) / 2)]] if first else points
    last = _fitted(config, going_on, 1)
    trials = [*last, *(trial for trial in first if trial.settings not in going_on)]
    publish_table("trials", [trial.as_row() for trial in trials], "Trials by their loss on the validation groups")
    return trials


def _fitted(config: RunConfig, points: list[Point], share: int) -> list[Trial]:
    """Fit each combination for its epochs divided by `share`, and return those with a loss, the lowest first."""
    sources = locate(config)
    data = checked_rows(config, sources)
    if config.decision.slices:
        read_slices(config.decision.slices, data, sources.data.every_row)  # refused before a trial is paid for
    base = fetch_base(sources.base)
    shown = with_index(config, sources.encoder, data) if config.learned_context else data
    trials = []
    for point in points:
        training = with_settings(config, point).training
        training = training.model_copy(update={"epochs": max(training.epochs / share, min(training.epochs, 1.0))})
        rendering = check_rendering(config.task, base, shown, *with_settings(config, point).rendered)
        replay = gather_replay(sources.benchmark.neutral) if training.replay else None
        adapter = train_adapter(training, rendering, base, data, config.seed, replay, subject=in_words(point))
        if isinstance(adapter, AdapterArtifact):  # not Pending
            loss = adapter.validation_loss
            trials.append(Trial(point, training.epochs, math.inf if loss is None else loss, adapter.seconds))
    return sorted(trials, key=lambda trial: trial.validation_loss)
