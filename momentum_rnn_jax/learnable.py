"""Hyper-parameters that a Flax cell learns: moved from where they start by unconstrained offsets, and kept in their ranges."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from momentum_rnn_jax.cell import Cell
from momentum_rnn_jax.drives import Drive

NAMES = ("mu", "step_size")


def init_learnable(cell: Cell, learnable: str | None, dtype: Any) -> dict[str, Array]:
    """Zeros for each hyper-parameter that is to be learnt: what `learnt_drive` adds to where it starts.

    Args:
      cell: the cell whose drive it is.
      learnable: None for nothing; "scalar" for one μ and one step size, "per_unit" for one of each for every gate of every unit.

    Raises:
      ValueError: `learnable` is something else, the drive has neither μ nor a step size, or its μ is 0, from where the map
        cannot move.
    """
    if learnable is None:
        return {}
    if learnable not in ("scalar", "per_unit"):
        raise ValueError(f"learnable must be None, 'scalar' or 'per_unit', got {learnable!r}.")
    names = [name for name in NAMES if hasattr(cell.drive, name)]
    if not names:
        raise ValueError(f"learnable must be None for {cell.drive!r}, which has neither mu nor step_size.")
    mu = getattr(cell.drive, "mu", None)
    if mu is not None and not isinstance(mu, jax.core.Tracer) and not np.all(np.asarray(mu) > 0):
        raise ValueError(f"mu must start above 0 to be learnt, got {mu!r}.")
    shape = () if learnable == "scalar" else (cell.core.drive_features,)
    return {name: jnp.zeros(shape, dtype) for name in names}


def learnt_drive(drive: Drive, offsets: Mapping[str, Array]) -> Any:
    """The drive with its hyper-parameters moved from where they start by unconstrained offsets, inside their ranges.

    `mu = m / (m + (1 - m) e^{-offset})`, a sigmoid through `m`, the μ it starts at; `step_size = s e^{offset}`. An offset of zero
    gives the start exactly.
    """
    if not offsets:
        return drive
    moved = {}
    for name, offset in offsets.items():
        start = jnp.asarray(getattr(drive, name)).astype(offset.dtype)
        growth = jnp.exp(jnp.clip(offset, -60, 60))  # finite in float32, and so are its gradients
        if name == "mu":
            value = start * growth / (1 + start * (growth - 1))
            moved[name] = jnp.minimum(value, 1 - jnp.finfo(offset.dtype).epsneg)
        else:
            moved[name] = start * growth
    return dataclasses.replace(drive, **moved)  # type: ignore[type-var]
