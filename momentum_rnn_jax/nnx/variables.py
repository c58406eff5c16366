"""How an NNX cell holds parameters and hyper-parameters: as variables under the paths that they have in the functional cell."""

from collections.abc import Iterable, Mapping
from typing import Any

from flax import nnx
from jax import Array

from momentum_rnn_jax.learnable import Path


class Hyperparameter(nnx.Variable[Array]):
    """A hyper-parameter: part of the state, so that changing it recompiles nothing, but not an `nnx.Param`."""


class Frozen(nnx.Variable[Array]):
    """A parameter that the core declares as untrained, such as the base of an orthogonal core, which only `rebase` moves."""


class Group(nnx.Module):
    """Variables under one name, as in `cell.core.kernel`; those of a sequence are items, as in `cell.drive.drives[0].mu`."""

    # `nnx.tabulate` cannot print modules that hold an `nnx.Dict`.
    def __getitem__(self, index: int) -> Any:
        return getattr(self, str(index))


def hold(module: nnx.Module, variables: Mapping[Path, nnx.Variable[Array]]) -> None:
    """Give a module variables by path, in groups along each path.

    Raises:
      ValueError: a path is taken.
    """
    for path, variable in variables.items():
        owner: Any = module
        for name in path[:-1]:
            if not hasattr(owner, name):
                setattr(owner, name, Group())
            owner = getattr(owner, name)
        if hasattr(owner, path[-1]) or not isinstance(owner, nnx.Module):
            raise ValueError(f"cell must not name a field {'.'.join(path)!r}: the module has another value of that name.")
        setattr(owner, path[-1], variable)


def variable_at(module: Any, path: Path) -> nnx.Variable[Array]:
    """The variable that a module holds at a path."""
    for name in path:
        module = getattr(module, name)
    return module


def arrays_at(module: nnx.Module, paths: Iterable[Path]) -> dict[Path, Array]:
    """The arrays of the variables that a module holds, by path."""
    return {path: variable_at(module, path)[...] for path in paths}
