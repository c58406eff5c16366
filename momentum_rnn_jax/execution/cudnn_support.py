"""Whether cuDNN's LSTM can run here."""

from typing import Any

import jax
import jax.numpy as jnp

from momentum_rnn_jax import _compat
from momentum_rnn_jax.cores import LSTM, Core

PRECISIONS = (None, "high", "tensorfloat32", "highest", "float32")  # of products, as jax_default_matmul_precision


def why_not(core: Core, dtype: Any, *, asked: bool) -> str:
    """What prevents cuDNN from running a core, empty if nothing does. `asked`, by name, it may run with several devices."""
    if type(core) is not LSTM:
        return f"its core is {type(core).__name__}, and cuDNN supports only the LSTM"
    if not core.plain:
        return "JAX's cuDNN LSTM does not support projections, peepholes or other activations"
    if jnp.dtype(dtype) != jnp.float32:
        return f"it computes in {jnp.dtype(dtype)}, and cuDNN's LSTM in float32"
    precision = _compat.matmul_precision()
    if precision not in PRECISIONS:
        return f"jax_default_matmul_precision is {precision!r}, which cuDNN's LSTM does not support"
    if _compat.varies_over_devices():
        return "the types of JAX's cuDNN call do not support shard_map"
    if not on_cuda():
        return f"JAX runs on {jax.default_backend()}, not on CUDA"
    if not asked and jax.device_count() > 1:
        return "several devices cannot share one call of cuDNN"
    return ""


def on_cuda() -> bool:
    """Whether JAX runs on an NVIDIA GPU."""
    return jax.default_backend() == "gpu" and "cuda" in jax.devices()[0].client.platform_version.lower()
