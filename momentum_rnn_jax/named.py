"""The cells people look for by name: every pair of a core and a drive, as a function that returns a `Cell`.

`momentum_lstm(128, mu=0.6, step_size=0.6)` is `Cell(LSTM(128), Momentum(mu=0.6, step_size=0.6))`, and so on. The functions
differ in nothing but the two classes they name, so they are made from a table.
"""

import inspect
from collections.abc import Callable
from typing import Any

from momentum_rnn_jax import _checks
from momentum_rnn_jax.cell import Cell
from momentum_rnn_jax.cores import GRU, LSTM, Core, Elman, Orthogonal
from momentum_rnn_jax.drives import Adam, Drive, Identity, Momentum, Nesterov, RMSProp


def _constructor(name: str, core: Callable[..., Core], drive: Callable[..., Drive], **drive_defaults: Any) -> Callable[..., Cell]:
    """`name(hidden_features, *, <the drive's arguments>, <the core's other arguments>) -> Cell`."""

    def keyword_only(cls: Callable[..., Any]) -> dict[str, inspect.Parameter]:
        return {
            p.name: p.replace(kind=p.KEYWORD_ONLY, default=drive_defaults.get(p.name, p.default))
            for p in inspect.signature(cls).parameters.values()
            if p.name != "hidden_features"
        }

    drive_arguments, core_arguments = keyword_only(drive), keyword_only(core)
    hidden = inspect.Parameter("hidden_features", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=int)
    signature = inspect.Signature([hidden, *drive_arguments.values(), *core_arguments.values()], return_annotation=Cell)

    def construct(*args: Any, **kwargs: Any) -> Cell:
        bound = _checks.bind(name, signature, args, kwargs)
        bound.apply_defaults()
        given = bound.arguments
        return Cell(
            core(given["hidden_features"], **{k: given[k] for k in core_arguments}),
            drive(**{k: given[k] for k in drive_arguments}),
        )

    construct.__name__ = construct.__qualname__ = name
    construct.__module__ = __name__
    construct.__signature__ = signature  # type: ignore[attr-defined]
    construct.__doc__ = f"""A `Cell` of the core `{core.__name__}` and the drive `{drive.__name__}`.

    Core: {_first_line(core)}
    Drive: {_first_line(drive)}

    Args:
      hidden_features: H, at least 1.
      {", ".join(drive_arguments) or "(nothing)"}: as in `{drive.__name__}`.
      {", ".join(core_arguments) or "(nothing more)"}: as in `{core.__name__}`.

    Raises:
      TypeError, ValueError: as `{core.__name__}` and `{drive.__name__}`.

    Source: MomentumRNN, arXiv 2006.06919, and the sources of the two classes.

    >>> import jax, jax.numpy as jnp, momentum_rnn_jax as mr
    >>> cell = mr.{name}(8)
    >>> state, hs = mr.unroll(cell, cell.init(jax.random.key(0), in_features=3), jnp.ones((5, 2, 3)))
    >>> hs.shape
    (5, 2, 8)
    """
    return construct


def _first_line(cls: Callable[..., Any]) -> str:
    return (cls.__doc__ or "").splitlines()[0]


rnn = _constructor("rnn", Elman, Identity)
momentum_rnn = _constructor("momentum_rnn", Elman, Momentum)
adam_rnn = _constructor("adam_rnn", Elman, Adam)
rmsprop_rnn = _constructor("rmsprop_rnn", Elman, RMSProp)
nesterov_rnn = _constructor("nesterov_rnn", Elman, Nesterov)
scheduled_restart_rnn = _constructor("scheduled_restart_rnn", Elman, Nesterov, restart=2)

lstm = _constructor("lstm", LSTM, Identity)
momentum_lstm = _constructor("momentum_lstm", LSTM, Momentum)
adam_lstm = _constructor("adam_lstm", LSTM, Adam)
rmsprop_lstm = _constructor("rmsprop_lstm", LSTM, RMSProp)
nesterov_lstm = _constructor("nesterov_lstm", LSTM, Nesterov)
scheduled_restart_lstm = _constructor("scheduled_restart_lstm", LSTM, Nesterov, restart=2)

gru = _constructor("gru", GRU, Identity)
momentum_gru = _constructor("momentum_gru", GRU, Momentum)
adam_gru = _constructor("adam_gru", GRU, Adam)
rmsprop_gru = _constructor("rmsprop_gru", GRU, RMSProp)
nesterov_gru = _constructor("nesterov_gru", GRU, Nesterov)
scheduled_restart_gru = _constructor("scheduled_restart_gru", GRU, Nesterov, restart=2)

dtriv = _constructor("dtriv", Orthogonal, Identity)
momentum_dtriv = _constructor("momentum_dtriv", Orthogonal, Momentum)
adam_dtriv = _constructor("adam_dtriv", Orthogonal, Adam)
rmsprop_dtriv = _constructor("rmsprop_dtriv", Orthogonal, RMSProp)
nesterov_dtriv = _constructor("nesterov_dtriv", Orthogonal, Nesterov)
scheduled_restart_dtriv = _constructor("scheduled_restart_dtriv", Orthogonal, Nesterov, restart=2)

__all__ = [
    "adam_dtriv",
    "adam_gru",
    "adam_lstm",
    "adam_rnn",
    "dtriv",
    "gru",
    "lstm",
    "momentum_dtriv",
    "momentum_gru",
    "momentum_lstm",
    "momentum_rnn",
    "nesterov_dtriv",
    "nesterov_gru",
    "nesterov_lstm",
    "nesterov_rnn",
    "rmsprop_dtriv",
    "rmsprop_gru",
    "rmsprop_lstm",
    "rmsprop_rnn",
    "rnn",
    "scheduled_restart_dtriv",
    "scheduled_restart_gru",
    "scheduled_restart_lstm",
    "scheduled_restart_rnn",
]
