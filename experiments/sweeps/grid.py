"""Which runs a sweep has: seeds × μ × step sizes, for each cell."""

import dataclasses
import inspect
import itertools
from collections.abc import Sequence
from typing import Any

import momentum_rnn_jax as mr
from experiments import configs
from experiments.configs import Config, ConfigError
from experiments.configs.base import CELL_OPTIONS
from experiments.published import AXES

HYPER_PARAMETERS = tuple(AXES)


@dataclasses.dataclass(frozen=True)
class Grid:
    """The runs of a sweep of the config `name`; `configs` has one for each cell, its options those that all runs share.

    `seeds`, `mu` and `step_size` are the values of the runs; None for what was not asked for, where each cell has its own.
    """

    name: str
    configs: dict[str, Config]
    seeds: tuple[int, ...]
    mu: tuple[float, ...] | None
    step_size: tuple[float, ...] | None

    def runs(self, cell: str) -> list[Config]:
        """A cell's runs, each as a config of its own: what `experiments.train` would be given."""
        names = list(self._varied)
        points = itertools.product(*self._varied.values())
        return [dataclasses.replace(self.configs[cell], **dict(zip(names, point, strict=True))) for point in points]

    def hyper_parameters(self, cell: str) -> dict[str, tuple[float, ...]]:
        """Of each of a cell's runs, those that vary: the arguments of one program for all of them."""
        runs = self.runs(cell)
        return {name: tuple(getattr(run, name) for run in runs) for name in HYPER_PARAMETERS if name in self._varied}

    def describe(self) -> dict[str, Any]:
        """All that decides the results, as plain values by name."""
        fields = {
            f"{cell}.{name}": value for cell, own in self.configs.items() for name, value in dataclasses.asdict(own).items()
        }
        grid = {"cells": list(self.configs), "seeds": self.seeds, "mu": self.mu, "step_size": self.step_size}
        return {**{name: list(value) if isinstance(value, tuple) else value for name, value in grid.items()}, **fields}

    @property
    def _varied(self) -> dict[str, tuple[Any, ...]]:
        values = {"seed": self.seeds, "mu": self.mu, "step_size": self.step_size}
        return {name: value for name, value in values.items() if value is not None}


def label(run: Config) -> dict[str, Any]:
    """What tells a run from the others; None for what its cell does not have."""
    drive = run.make_cell().drive
    own = {name: getattr(drive, name, None) for name in HYPER_PARAMETERS}
    return {"cell": run.cell, "seed": run.seed, **own}


def make(
    name: str,
    assignments: Sequence[str],
    cells: Sequence[str] | None,
    seeds: Sequence[int] | None,
    mu: Sequence[float] | None,
    step_size: Sequence[float] | None,
) -> Grid:
    """The grid of a command; what is None is taken from the config.

    An option of the named config that another of the cells does not have is left out for that cell. What is given here,
    `assignments` included, must suit every cell.

    Raises:
      ConfigError: it does not, a value is not allowed, or stands there twice.
    """
    base = configs.get(name)
    if cells is not None and any(assignment.startswith("cell=") for assignment in assignments):
        raise ConfigError("--set cell=… and --cells exclude each other")
    chosen = [configs.override(_with_cell(base, cell), assignments) for cell in _once("--cells", cells or [base.cell])]
    if any(config.nonmonotone is not None for config in chosen):
        raise ConfigError(f"{name} averages its steps when it is stuck, which a sweep cannot: --set nonmonotone=none")
    given = {"--seeds": ("seed", seeds), "--mu": ("mu", mu), "--step-size": ("step_size", step_size)}
    for option, (field, values) in given.items():
        if values and any(assignment.startswith(f"{field}=") for assignment in assignments):
            raise ConfigError(f"--set {field}=… and {option} exclude each other")
        for value, config in itertools.product(_once(option, values or ()), chosen):
            _check(option, config, field, value)
    return Grid(
        name,
        {config.cell: config for config in chosen},
        tuple(seeds) if seeds else (chosen[0].seed,),
        tuple(mu) if mu else None,
        tuple(step_size) if step_size else None,
    )


def _with_cell(config: Config, cell: str) -> Config:
    if cell == config.cell:
        return config
    if cell not in mr.named.__all__:
        raise ConfigError(f"--cells {cell}: must be one of {', '.join(mr.named.__all__)}")
    arguments = inspect.signature(getattr(mr.named, cell)).parameters
    absent: dict[str, Any] = {name: None for name in CELL_OPTIONS if name not in arguments}
    new = dataclasses.replace(config, cell=cell, rebase_every=None, **absent)
    return dataclasses.replace(new, rebase_every=config.rebase_every) if isinstance(new.make_cell().core, mr.Orthogonal) else new


def _once(option: str, values: Sequence[Any]) -> Sequence[Any]:
    for value in values:
        if list(values).count(value) > 1:
            raise ConfigError(f"{option}: {value} stands there twice")
    return values


def _check(option: str, config: Config, field: str, value: Any) -> None:
    try:
        dataclasses.replace(config, **{field: value})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{option} {value}: {error}") from error
