"""Contestants compute the same thing, to rounding, or nothing is timed."""

from typing import Any

import jax
import numpy as np

from benchmarks import jax_peers
from benchmarks.contestant import Contestant
from benchmarks.jax_contestant import JaxContestant
from benchmarks.peers import PEERS
from benchmarks.problem import Problem
from benchmarks.settings import Settings
from momentum_rnn_jax.execution.cudnn_support import on_cuda

# The largest difference in an array, relative to the array's largest entry. In float32, over thousands of steps.
TOLERANCE = {"outputs": 5e-5, "gradients": 2e-4}
REFERENCE = "unroll(method='stepwise'), both in float64"
EXACT = {"outputs": 1e-9, "gradients": 1e-9}


class MismatchError(Exception):
    """Two contestants that should compute the same thing do not."""


def check(contestants: dict[str, Contestant], problems: dict[str, Problem], settings: Settings) -> list[dict[str, Any]]:
    """Compare every contestant with the library's own of the same kind, and that one, where nobody else's is, with `REFERENCE`.

    The latter in float64: where an input is near zero, Adam's quotient turns rounding into differences of any size.

    Returns:
      For each comparison: the two names, and the relative errors found.

    Raises:
      MismatchError: an error is above `TOLERANCE`.
    """
    found = []
    for kind in dict.fromkeys(PEERS[name].computes for name in contestants):
        group = {name: one for name, one in contestants.items() if PEERS[name].computes == kind}
        first = next(name for name, peer in PEERS.items() if peer.ours and peer.computes == kind)
        name = first if first in group else "ours"
        ours = group.pop(name, None) or JaxContestant(jax_peers.ours(problems[kind]), settings)
        for other, contestant in group.items():
            found.append({"kind": kind, "peers": [name, other], **errors(f"{name} and {other}", ours, contestant, TOLERANCE)})
        if all(PEERS[other].ours for other in group):
            if on_cuda():  # in float64 there is no cuDNN
                chunks = JaxContestant(jax_peers.ours(problems[kind], "chunked"), settings)
                pair = f"{name} and unroll(method='chunked')"
                found.append({"kind": kind, "peers": [name, "unroll(method='chunked')"], **errors(pair, ours, chunks, TOLERANCE)})
            with jax.enable_x64(True):
                exact = problems[kind].in_float64()
                both = [JaxContestant(jax_peers.ours(exact, method), settings) for method in ("auto", "stepwise")]
                found.append({"kind": kind, "peers": [name, REFERENCE], **errors(f"{name} and {REFERENCE}", *both, EXACT)})
    return found


def errors(names: str, ours: Contestant, other: Contestant, tolerance: dict[str, float]) -> dict[str, float]:
    """The largest relative errors between two contestants.

    Raises:
      MismatchError: one is above the tolerance.
    """
    return {
        "outputs": compare(f"{names}: outputs", ours.outputs(), other.outputs(), tolerance["outputs"]),
        "gradients": compare(f"{names}: gradients", ours.gradients(), other.gradients(), tolerance["gradients"]),
    }


def compare(what: str, ours: Any, theirs: Any, tolerance: float) -> float:
    """The largest relative error in two trees of arrays.

    Raises:
      MismatchError: it is above the tolerance, or not finite, or the trees differ.
    """
    if jax.tree.structure(ours) != jax.tree.structure(theirs):
        raise MismatchError(f"{what}: {jax.tree.structure(ours)} and {jax.tree.structure(theirs)} are different trees")
    largest = 0.0
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        where = f"{what}{jax.tree_util.keystr(path)}"
        if np.shape(a) != np.shape(b):
            raise MismatchError(f"{where}: shapes {np.shape(a)} and {np.shape(b)}")
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        scale = np.abs(a).max()
        error = np.abs(a - b).max() / scale if scale else np.abs(b).max()
        if not error <= tolerance:
            raise MismatchError(f"{where} differ by {error:.1e} of the largest entry, {tolerance:g} is allowed")
        largest = max(largest, float(error))
    return largest
