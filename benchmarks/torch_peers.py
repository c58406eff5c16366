"""Models in PyTorch, as contestants. On CUDA, `torch.nn`'s own are cuDNN's. This module needs torch."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
from torch import nn

from benchmarks.contestant import DECAY, INFERENCE, LEARNING_RATE, TRAINING, Ready
from benchmarks.problem import Problem
from benchmarks.settings import Settings

# Where each of PyTorch's arrays is in ours, transposed; gates have the same order.
ENTRIES = {
    "weight_ih_l0": ("input", "kernel"),
    "weight_hh_l0": ("core", "kernel"),
    "bias_ih_l0": ("input", "bias"),
    "bias_hh_l0": ("core", "bias"),
}


class MomentumLSTM(nn.Module):
    """The paper's cell in a loop: `v = mu v + s (W x + b_x)`, `(i, f, g, o) = v + U h + b_h`; parameters as in `nn.LSTM`.

    The projection is one product for the whole sequence; what depends on the step before is in the loop.
    """

    def __init__(self, in_features: int, hidden_features: int, mu: float, step_size: float):
        super().__init__()
        self.mu, self.step_size = mu, step_size
        rows = 4 * hidden_features
        self.weight_ih_l0 = nn.Parameter(torch.empty(rows, in_features))
        self.weight_hh_l0 = nn.Parameter(torch.empty(rows, hidden_features))
        self.bias_ih_l0 = nn.Parameter(torch.empty(rows))
        self.bias_hh_l0 = nn.Parameter(torch.empty(rows))

    def forward(self, xs: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """(time, batch, F) -> hidden states (time, batch, H), and the last (h, c)."""
        us = self.step_size * nn.functional.linear(xs, self.weight_ih_l0, self.bias_ih_l0)
        h = c = xs.new_zeros(xs.shape[1], self.weight_hh_l0.shape[1])
        v = torch.zeros_like(us[0])
        hs = []
        for u in us.unbind(0):
            v = self.mu * v + u
            i, f, g, o = (v + nn.functional.linear(h, self.weight_hh_l0, self.bias_hh_l0)).chunk(4, dim=-1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            hs.append(h)
        return torch.stack(hs), (h, c)


def lstm(problem: Problem, settings: Settings) -> "TorchContestant":
    """`torch.nn.LSTM`."""
    return TorchContestant(nn.LSTM(problem.shape.features, problem.shape.hidden), problem)


def gru(problem: Problem, settings: Settings) -> "TorchContestant":
    """`torch.nn.GRU`."""
    return TorchContestant(nn.GRU(problem.shape.features, problem.shape.hidden), problem)


def rnn(problem: Problem, settings: Settings) -> "TorchContestant":
    """`torch.nn.RNN`, whose activation is tanh."""
    return TorchContestant(nn.RNN(problem.shape.features, problem.shape.hidden), problem)


def momentum_lstm_loop(problem: Problem, settings: Settings) -> "TorchContestant":
    """The loop above."""
    drive = problem.cell.drive
    return TorchContestant(MomentumLSTM(problem.shape.features, problem.shape.hidden, drive.mu, drive.step_size), problem)


class TorchContestant:
    """A PyTorch module in eager mode, on the kind of device that JAX runs on."""

    def __init__(self, module: nn.Module, problem: Problem):
        self.device = torch.device("cuda" if jax.default_backend() == "gpu" else "cpu")
        self.weights = {name: torch.tensor(problem.params[part][entry].T) for name, (part, entry) in ENTRIES.items()}
        self.module = module.to(self.device)
        self.xs = torch.tensor(problem.xs, device=self.device)

    def ready(self, mode: str) -> Ready:
        self.module.load_state_dict(self.weights)
        return Ready({TRAINING: self._training, INFERENCE: self._inference}[mode](), None)

    def outputs(self) -> np.ndarray:
        self.module.load_state_dict(self.weights)
        with torch.inference_mode():
            return self.module(self.xs)[0].cpu().numpy()

    def gradients(self) -> dict[str, dict[str, Any]]:
        self.module.load_state_dict(self.weights)
        self.module.zero_grad()
        self._loss().backward()
        found: dict[str, dict[str, Any]] = {"input": {}, "core": {}}
        for name, parameter in self.module.named_parameters():
            part, entry = ENTRIES[name]
            found[part][entry] = parameter.grad.cpu().numpy().T.copy()
        self.module.zero_grad()
        return found

    def _loss(self) -> torch.Tensor:
        _, last = self.module(self.xs)
        h = last[0] if isinstance(last, tuple) else last
        return h.square().mean()

    def _inference(self) -> Callable[[], None]:
        def call() -> None:
            with torch.inference_mode():
                self.module(self.xs)
            self._wait()

        return call

    def _training(self) -> Callable[[], None]:
        optimizer = torch.optim.RMSprop(self.module.parameters(), LEARNING_RATE, DECAY)

        def call() -> None:
            optimizer.zero_grad()
            self._loss().backward()
            optimizer.step()
            self._wait()

        return call

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
