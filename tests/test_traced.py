"""What has no value yet still has a dtype, and an order: hyper-parameters and lengths under `jax.jit`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_rnn_jax as mr
from momentum_rnn_jax import nnx as mnnx
from tests.flax_cells import make
from tests.registry import assert_close

TIME = 130  # more than the largest int8
DRIVES = [mr.Momentum, mr.Nesterov, mr.Adam, mr.RMSProp]


@pytest.mark.parametrize("value", [True, 0.5j, np.ones(4, bool), np.ones(4, complex)], ids=lambda v: np.result_type(v).name)
@pytest.mark.parametrize("drive", DRIVES)
def test_a_traced_hyperparameter_that_is_no_real_number_is_refused(drive, value):
    with pytest.raises(TypeError, match=r"step_size must be a real number or an array of them, got .*(bool|complex)"):
        jax.eval_shape(lambda step_size: drive(step_size=step_size), value)


@pytest.mark.parametrize("drive", DRIVES)
def test_a_traced_integer_is_a_real_number(drive):
    u = jnp.ones((2, 4))
    step = jax.jit(lambda step_size: drive(step_size=step_size).step(drive().init(u), u)[1])
    assert_close(step(2), drive(step_size=2.0).step(drive().init(u), u)[1], 1e-6)


LENGTHS = {  # beyond the sequence is its end, and below zero its beginning
    "int8": (np.array([127, -128], np.int8), [127, 0]),
    "uint8": (np.array([200, 3], np.uint8), [TIME, 3]),
    "int32": (np.array([2**31 - 1, -(2**31)], np.int32), [TIME, 0]),
    "uint32": (np.array([2**31 + 5, 2**32 - 1], np.uint32), [TIME, TIME]),
    "int64": (np.array([2**32 + 3, 3 - 2**32], np.int64), [TIME, 0]),
    "uint64": (np.array([2**63 + 3, 2**32 + 3], np.uint64), [TIME, TIME]),
}


every_dtype = pytest.mark.parametrize("dtype", LENGTHS)


@every_dtype
def test_traced_lengths_are_compared_before_they_are_converted(float64, dtype):
    cell = mr.momentum_gru(4)
    params, xs = cell.init(jax.random.key(0), 3), jax.random.normal(jax.random.key(1), (TIME, 2, 3))
    lengths, meant = LENGTHS[dtype]

    @jax.jit
    def run(lengths):
        return [mr.unroll(cell, params, xs, method=method, seq_lengths=lengths) for method in ("stepwise", "auto")]

    assert_close(run(lengths), run(np.array(meant, np.int32)), 0)


@every_dtype
def test_so_are_those_of_a_reversed_layer(float64, dtype):
    rnn, xs = mnnx.RNN(make("MomentumGRUCell"), reverse=True), jax.random.normal(jax.random.key(1), (2, TIME, 3))
    lengths, meant = LENGTHS[dtype]
    run = jax.jit(lambda lengths: rnn(xs, seq_lengths=lengths, return_carry=True))
    assert_close(run(lengths), run(np.array(meant, np.int32)), 0)
