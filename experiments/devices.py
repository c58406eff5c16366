"""Devices that share every minibatch: each has a part of its examples, and all of everything else."""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from experiments.command import RunError

AXIS = "batch"


def make_mesh(per_process: int | None, batch_size: int) -> Mesh:
    """So many devices of each process, or all of them; refused where they are not there or cannot share a minibatch evenly."""
    devices = []
    for process in range(jax.process_count()):
        local = jax.local_devices(process)
        if per_process is not None and per_process > len(local):
            raise RunError(f"--devices {per_process}: there {'is' if len(local) == 1 else 'are'} only {len(local)}")
        devices += local[:per_process]
    if batch_size % len(devices):
        raise RunError(f"batch_size must be a multiple of the {len(devices)} devices that share a minibatch, got {batch_size}")
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def put(mesh: Mesh, tree: Any) -> Any:
    """Arrays of this process, the same ones in all processes, on each device."""

    def put_one(array: Any) -> jax.Array:
        return jax.make_array_from_callback(np.shape(array), NamedSharding(mesh, P()), np.asarray(array).__getitem__)

    return jax.tree.map(put_one, tree)


def everywhere(mesh: Mesh, tree: Any) -> Any:
    """Inside a program: results that each device has whole."""
    return jax.lax.with_sharding_constraint(tree, NamedSharding(mesh, P()))


def share(mesh: Mesh, batch: Any) -> Any:
    """Inside a program: a batch whose examples are split among the devices, if these divide it; else each computes all of it."""
    if mesh.size == 1 or len(jax.tree.leaves(batch)[0]) % mesh.size:
        return batch
    return jax.lax.with_sharding_constraint(batch, NamedSharding(mesh, P(AXIS)))
