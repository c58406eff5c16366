"""Where 16 bits are too few."""

from typing import Any

import jax.numpy as jnp


def at_least_float32(dtype: Any) -> Any:
    """`dtype`, or float32 when it is narrower: for counters, and for linear algebra, which knows no 16-bit types."""
    return dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32
