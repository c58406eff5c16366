"""Data parallelism: each device has a part of every minibatch, and a copy of everything else."""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from experiments.command import RunError

AXIS = "batch"


def make_mesh(per_process: int | None, batch_size: int) -> Mesh:
    """A mesh of so many devices of each process, or all of them, among which the batch must divide evenly."""
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
    """Arrays, the same in all processes, copied to each device."""

    def put_one(array: Any) -> jax.Array:
        return jax.make_array_from_callback(np.shape(array), NamedSharding(mesh, P()), np.asarray(array).__getitem__)

    return jax.tree.map(put_one, tree)


def everywhere(mesh: Mesh, tree: Any) -> Any:
    """Inside a program: replicate results on every device."""
    return jax.lax.with_sharding_constraint(tree, NamedSharding(mesh, P()))


def share(mesh: Mesh, batch: Any) -> Any:
    """Inside a program: split a batch among the devices if they divide it; else each computes all of it."""
    if mesh.size == 1 or len(jax.tree.leaves(batch)[0]) % mesh.size:
        return batch
    return jax.lax.with_sharding_constraint(batch, NamedSharding(mesh, P(AXIS)))
