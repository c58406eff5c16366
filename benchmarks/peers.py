"""Who takes part: every peer by name, what it computes, and how it is made ready."""

from collections.abc import Callable
from typing import NamedTuple

from benchmarks import jax_peers
from benchmarks.contestant import Contestant
from benchmarks.jax_contestant import JaxContestant, JaxModel
from benchmarks.problem import Problem
from benchmarks.settings import NO_TORCH, Settings, on_gpu, torch_installed
from momentum_rnn_jax.execution.cudnn_support import on_cuda


class Peer(NamedTuple):
    """`computes`: a kind of `problem.CELLS`. `ours`: from this library.

    Peers of one kind are checked against each other: all of them against the first of ours.
    """

    label: str
    computes: str
    make: Callable[[Problem, Settings], Contestant]
    ours: bool = False
    needs: tuple[str, ...] = ()


def _jax(make: Callable[[Problem], JaxModel]) -> Callable[[Problem, Settings], Contestant]:
    return lambda problem, settings: JaxContestant(make(problem), settings)


def _ours_chunked(problem: Problem, settings: Settings) -> Contestant:
    return JaxContestant(jax_peers.ours(problem, "chunked"), settings)


def _torch(name: str) -> Callable[[Problem, Settings], Contestant]:
    def make(problem: Problem, settings: Settings) -> Contestant:
        from benchmarks import torch_peers  # torch is optional

        return getattr(torch_peers, name)(problem, settings)

    return make


PEERS = {
    "torch-lstm": Peer("torch.nn.LSTM", "lstm", _torch("lstm"), needs=("torch",)),
    "jax-cudnn-lstm": Peer("jax.experimental.rnn.lstm (cuDNN)", "lstm", _jax(jax_peers.cudnn_lstm), needs=("cuda",)),
    "flax-nnx-lstm": Peer("flax.nnx.RNN, OptimizedLSTMCell", "lstm", _jax(jax_peers.flax_nnx_lstm)),
    "flax-linen-lstm": Peer("flax.linen.RNN, OptimizedLSTMCell", "lstm", _jax(jax_peers.flax_linen_lstm)),
    "torch-loop-momentum-lstm": Peer(
        "PyTorch loop, MomentumLSTM", "momentum_lstm", _torch("momentum_lstm_loop"), needs=("torch",)
    ),
    "lstm": Peer("ours, LSTM", "lstm", _jax(jax_peers.ours), ours=True),
    "lstm-chunked": Peer("ours, LSTM, chunked", "lstm", _ours_chunked, ours=True),
    "momentum-lstm": Peer("ours, MomentumLSTM", "momentum_lstm", _jax(jax_peers.ours), ours=True),
    "nnx-momentum-lstm": Peer("ours, MomentumLSTM in nnx.RNN", "momentum_lstm", _jax(jax_peers.ours_in_nnx), ours=True),
    "adam-lstm": Peer("ours, AdamLSTM", "adam_lstm", _jax(jax_peers.ours), ours=True),
    "torch-gru": Peer("torch.nn.GRU", "gru", _torch("gru"), needs=("torch",)),
    "flax-nnx-gru": Peer("flax.nnx.RNN, GRUCell", "gru", _jax(jax_peers.flax_nnx_gru)),
    "gru": Peer("ours, GRU", "gru", _jax(jax_peers.ours), ours=True),
    "momentum-gru": Peer("ours, momentum GRU", "momentum_gru", _jax(jax_peers.ours), ours=True),
    "torch-rnn": Peer("torch.nn.RNN, tanh", "elman", _torch("rnn"), needs=("torch",)),
    "flax-nnx-elman": Peer("flax.nnx.RNN, SimpleCell", "elman", _jax(jax_peers.flax_nnx_elman)),
    "elman": Peer("ours, Elman", "elman", _jax(jax_peers.ours), ours=True),
    "momentum-elman": Peer("ours, momentum Elman", "momentum_elman", _jax(jax_peers.ours), ours=True),
    "flax-nnx-momentum-dtriv": Peer("flax.nnx.RNN, our momentum DTRIV cell", "momentum_dtriv", _jax(jax_peers.flax_nnx_stepwise)),
    "momentum-dtriv": Peer("ours, momentum DTRIV", "momentum_dtriv", _jax(jax_peers.ours), ours=True),
}


def why_absent(name: str) -> str | None:
    """Why this peer cannot take part here; None if it can."""
    needs = PEERS[name].needs
    if "torch" in needs and not torch_installed():
        return NO_TORCH
    if "torch" in needs and on_gpu() and not _torch_has_cuda():
        return "JAX runs on a GPU, and this build of torch does not"
    if "cuda" in needs and not on_cuda():
        return "it is cuDNN's, and JAX runs on no NVIDIA GPU here"
    return None


def _torch_has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()
