"""All analyses of one run in one object, that prints, saves and draws itself."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jax import Array

from momentum_rnn_jax._describe import describe
from momentum_rnn_jax._pytree import pytree_dataclass
from momentum_rnn_jax.analysis._coordinates import Layout
from momentum_rnn_jax.analysis._run import checked
from momentum_rnn_jax.analysis.gradients import gradient_norms, input_sensitivity
from momentum_rnn_jax.analysis.jacobians import jacobian_log_norms, singular_spectrum
from momentum_rnn_jax.analysis.lyapunov import diagonal_blocks, lyapunov_spectrum
from momentum_rnn_jax.analysis.theorem import TheoremProduct, theorem_product, why_not
from momentum_rnn_jax.cell import CellState, Params


@pytree_dataclass
class GradientFlow:
    """What `gradient_flow` found; every entry is named after the function that computed it.

    Args:
      jacobian_log_norms: by "hidden" and, where the core's state is more than h, "core"; each (T + 1,).
      input_sensitivity: (T,).
      singular_spectrum: of the core's product over the whole run, (n,).
      lyapunov_spectrum: of a `Cell` by "core" and "drive", which together are that of the joint map; otherwise by "full".
      gradient_norms: by the names of the state's entries, each (T + 1,); None without a loss.
      theorem_product: for a momentum RNN, else None.

    A pytree of arrays, so `jax.jit` and `jax.vmap` return it; `jax.tree.map(lambda leaf: leaf[i], report)` is one of a batch.
    """

    jacobian_log_norms: dict[str, Array]
    input_sensitivity: Array
    singular_spectrum: Array
    lyapunov_spectrum: dict[str, Array]
    gradient_norms: dict[str, Array] | None
    theorem_product: TheoremProduct | None

    def to_dict(self) -> dict[str, Any]:
        """Nested dicts and lists of numbers, as JSON allows: None instead of NaN and infinity."""
        named = {**vars(self), "theorem_product": self.theorem_product and self.theorem_product._asdict()}
        return {name: _plain(value) for name, value in named.items()}

    def curves(self) -> dict[str, np.ndarray]:
        """log10 of every curve by distance from the end, 0 … T; NaN where a curve is not defined."""
        T = self._one().input_sensitivity.size
        found: dict[str, Any] = {**self.jacobian_log_norms, "input": self.input_sensitivity}
        with np.errstate(divide="ignore"):
            found |= {f"∂L/∂{name}": np.log10(values) for name, values in (self.gradient_norms or {}).items()}
        found |= self.theorem_product._asdict() if self.theorem_product else {}
        # Those that do not start at t = 0 start at 1.
        return {k: np.append(np.full(T + 1 - len(v), np.nan, v.dtype), v)[::-1] for k, v in found.items()}

    def table(self) -> str:
        """The curves at distances 0, 1, 2, 5, 10, … in a Markdown table, and the Lyapunov exponents below it."""
        curves = self.curves()
        T = self.input_sensitivity.size
        distances = [0, *(d for power in range(8) for d in (10**power, 2 * 10**power, 5 * 10**power) if d < T), T]
        rows = [["distance", *curves], *([str(d), *(_number(c[d]) for c in curves.values())] for d in distances)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["| " + " | ".join(e.rjust(w) for e, w in zip(row, widths, strict=True)) + " |" for row in rows]
        lines.insert(1, "|" + "|".join("-" * (w + 1) + ":" for w in widths) + "|")
        block, exponents = next(iter(self.lyapunov_spectrum.items()))
        spectra = "; ".join(f"{k} {_number(v[0])} … {_number(v[-1])} ({v.size})" for k, v in self.lyapunov_spectrum.items())
        return (
            f"log10 of norms by distance from the end of {T} steps:\n\n" + "\n".join(lines) + f"\n\nLyapunov exponents, natural "
            f"logarithm per step: {spectra}.\nThe {block}'s largest: {exponents[0] / math.log(10):+.3g} decades per step.\n"
        )

    def plot(self, path: str | Path | None = None, *, axes: Sequence[Any] | None = None) -> Any:
        """Draw the curves, the Lyapunov spectra and the singular values; matplotlib is the extra `plot` of this package.

        Args:
          path: where to save the figure, unless None.
          axes: three matplotlib `Axes` to draw on, one for each of these; those of a new figure unless given.

        Returns:
          The matplotlib `Figure`. Nothing shows it yet: `display(figure)` does in a notebook.

        Raises:
          ImportError: matplotlib is not installed.
          TypeError, ValueError: `axes` are not three, or this is a batch of reports.
        """
        try:
            from matplotlib.axes import Axes
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("plot needs matplotlib: pip install 'momentum_rnn_jax[plot]'.") from error
        self._one()
        if axes is None:
            axes = Figure(figsize=(14, 4.5), layout="constrained").subplots(1, 3, width_ratios=(2, 1, 1))
        axes = list(np.ravel(np.asarray(axes, object)))
        if len(axes) != 3 or not all(isinstance(one, Axes) for one in axes):
            raise TypeError(f"axes must be three matplotlib Axes, got {len(axes)} of {describe(axes[0] if axes else None)}.")
        curves, spectra, singular = axes
        for name, values in self.curves().items():
            curves.plot(values, label=name)
        curves.set(xlabel="distance from the end (steps)", ylabel="log10 of the norm")
        for name, exponents in self.lyapunov_spectrum.items():
            spectra.plot(exponents, label=name)
        spectra.set(xlabel="index", ylabel="Lyapunov exponent (per step)")
        singular.plot(self.singular_spectrum, ".")
        singular.set(xlabel="index", ylabel="log10 of the singular value, whole run")
        for one in (curves, spectra):
            one.legend()
        for one in axes:
            one.grid(alpha=0.3)
        figure = curves.figure.canvas.figure  # the axes may be in one of its subfigures
        if path is not None:
            figure.savefig(path, dpi=120)
        return figure

    def _one(self) -> "GradientFlow":
        if self.input_sensitivity.ndim != 1:
            raise ValueError("this is a batch of reports; take one with jax.tree.map(lambda leaf: leaf[i], report).")
        return self


def gradient_flow(
    cell: Any,
    params: Params | None,
    xs: Array,
    state: CellState | None = None,
    *,
    loss_fn: Callable[[Array], Array] | None = None,
    norm: str = "spectral",
) -> GradientFlow:
    """Whether, where and how fast gradients vanish along one run: every analysis of this package in one report.

    The core's Lyapunov spectrum takes most of the time: a QR decomposition at each step.

    Args:
      cell, params, xs, state: as in `step_jacobians`.
      loss_fn: as in `gradient_norms`; without one they are left out.
      norm: "spectral" or "frobenius".

    Returns:
      A `GradientFlow`, with `table()`, `to_dict()` and `plot()`.

    Raises:
      TypeError, ValueError: as `step_jacobians` and `gradient_norms`.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> from momentum_rnn_jax import analysis
    >>> cell = mr.momentum_rnn(2, mu=0.5, step_size=1.0, activation="identity")
    >>> params = cell.init(jax.random.key(0), in_features=1)
    >>> params["input"]["kernel"], params["core"]["kernel"] = jnp.ones((1, 2)), 0.1 * jnp.eye(2)
    >>> print(analysis.gradient_flow(cell, params, jnp.ones((5, 1))).table())
    log10 of norms by distance from the end of 5 steps:
    <BLANKLINE>
    | distance | hidden | input | paper | plain | complete |
    |---------:|-------:|------:|------:|------:|---------:|
    |        0 |   0.00 |  0.15 |  0.00 |  0.00 |     0.00 |
    |        1 |  -1.00 | -0.07 | -0.22 | -1.00 |     0.07 |
    |        2 |  -2.00 | -0.36 | -0.44 | -2.00 |    -0.17 |
    |        5 |  -5.00 |       |       |       |          |
    <BLANKLINE>
    Lyapunov exponents, natural logarithm per step: core -2.30 … -2.30 (2); drive -0.69 … -0.69 (2).
    The core's largest: -1 decades per step.
    <BLANKLINE>
    """
    cell, params, xs, state = checked(cell, params, xs, state)
    arguments = (cell, params, xs, state)
    norms = None if loss_fn is None else gradient_norms(loss_fn, *arguments)  # first: a loss that is refused is refused early
    layout = Layout.of(cell, params, xs)
    core_is_h = layout.size("core") == layout.size("hidden")
    return GradientFlow(
        jacobian_log_norms={
            wrt: jacobian_log_norms(*arguments, wrt=wrt, norm=norm) for wrt in ("hidden", "core")[: 1 if core_is_h else 2]
        },
        input_sensitivity=input_sensitivity(*arguments, norm=norm),
        singular_spectrum=singular_spectrum(*arguments, wrt="core"),
        lyapunov_spectrum={block: lyapunov_spectrum(*arguments, wrt=block) for block in diagonal_blocks(cell, layout)},
        gradient_norms=norms,
        theorem_product=None if why_not(cell) else theorem_product(*arguments, norm=norm),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    return None if value is None else _finite(np.asarray(value, np.float64).tolist())


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return value if math.isfinite(value) else None


def _number(value: Any) -> str:
    return "" if np.isnan(value) else f"{value:.2f}"
