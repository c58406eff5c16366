"""Where 16 bits are too few."""

from typing import Any

import jax.numpy as jnp


def at_least_float32(dtype: Any) -> Any:
    """`dtype`, or float32 when it is narrower: for drive states, statistics, accumulated gradients and linear algebra, which
    has no 16-bit types."""
    return dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32
