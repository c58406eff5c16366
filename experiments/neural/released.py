"""The Neural Data Transformer's parameters under their released names, in both directions."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiments.neural.transformer import NeuralDataTransformer, ScaleNorm, Sizes

# What the released code can do besides: each with the only value that is reproduced here.
ONLY = {
    "LINEAR_EMBEDDER": False,
    "UNMASKED_LOSS_SCALE": 0.0,
    "CONTEXT_WRAP_INITIAL": False,
    "REQUIRES_RATES": False,
    "ACTIVATION": "relu",
    "LOSS": {"TYPE": "poisson", "TOPK": 1.0},
}


def from_ndt(arrays: Mapping[str, Any], config: Mapping[str, Any], *, time: int, position: Any = None) -> NeuralDataTransformer:
    """The transformer with the parameters of the released one.

    Args:
      arrays: by released name, as in its `state_dict`: `decoder.0.weight` and so on.
      config: the released `MODEL` section: `NUM_HEADS`, `PRE_NORM` and so on.
      time: T.
      position: its table of positions, where they are not learned. The released table is computed in float32, so that without it
        outputs agree to 1e-6 only.

    Raises:
      ValueError: the config asks for what is not reproduced, or an array is missing, left over or of another shape.
    """
    for name, value in ONLY.items():
        if config.get(name, value) != value:
            raise ValueError(f"config must have {name} = {value!r}, got {config[name]!r}.")
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    if "decoder.0.bias" not in arrays:
        raise ValueError("arrays must hold decoder.0.bias.")
    last = f"decoder.{2 * (config['DECODER']['LAYERS'] - 1)}.bias"
    sizes = Sizes(
        neurons=len(arrays[last]) if last in arrays else 0,
        time=time,
        max_spikes=len(arrays["embedder.0.weight"]) - 2 if "embedder.0.weight" in arrays else 0,
        embed_features=config["EMBED_DIM"],
        hidden_features=config["HIDDEN_SIZE"],
        num_layers=config["NUM_LAYERS"],
        num_heads=config["NUM_HEADS"],
        decoder_layers=config["DECODER"]["LAYERS"],
        pre_norm=config["PRE_NORM"],
        scale_norm=config["SCALE_NORM"],
        learned_position=config["LEARNABLE_POSITION"],
        log_rates=config["LOGRATE"],
    )
    model = NeuralDataTransformer(
        sizes,
        context=None if config["FULL_CONTEXT"] else (config["CONTEXT_FORWARD"], config["CONTEXT_BACKWARD"]),
        dropout=config["DROPOUT"],
        dropout_rates=config["DROPOUT_RATES"],
        dropout_embedding=config["DROPOUT_EMBEDDING"],
        dtype=jax.dtypes.canonicalize_dtype(arrays["decoder.0.bias"].dtype),
        rngs=nnx.Rngs(0),
    )
    places = _places(model)
    shapes = {name: _oriented(name, np.asarray(variable[...])).shape for name, variable in places.items()}
    given = {name: array.shape for name, array in arrays.items()}
    if wrong := sorted(name for name in {**shapes, **given} if shapes.get(name) != given.get(name)):
        expected, got = (of.get(wrong[0], "none") for of in (shapes, given))
        raise ValueError(f"arrays: {wrong[0]} must have shape {expected}, got {got}; {len(wrong)} of the names do not fit.")
    for name, variable in places.items():
        variable[...] = jnp.asarray(_oriented(name, arrays[name]))
    if position is not None:
        model.position[...] = jnp.asarray(position, model.position[...].dtype)
    return model


def to_ndt(model: NeuralDataTransformer) -> dict[str, np.ndarray]:
    """The parameters under their released names, in the released layout; also of a gradient merged into a model."""
    return {name: _oriented(name, np.asarray(variable[...])) for name, variable in _places(model).items()}


def _oriented(name: str, array: np.ndarray) -> np.ndarray:
    """Matrices of linear maps are (out, in) in the released code and (in, out) here; tables are the same in both."""
    table = name in ("embedder.0.weight", "pos_encoder.pos_embedding.weight")
    return array if table or array.ndim < 2 else array.T


def _places(model: NeuralDataTransformer) -> dict[str, Any]:
    """The variable of every released name."""
    places: dict[str, Any] = {}
    encoder = "transformer_encoder"

    def put(prefix: str, module: Any, kernel: Callable[[Any], Any], separator: str = ".") -> None:
        places[f"{prefix}{separator}weight"], places[f"{prefix}{separator}bias"] = kernel(module), module.bias

    if model.sizes.embed_features:
        places["embedder.0.weight"] = model.embedding
    if model.sizes.learned_position:
        places["pos_encoder.pos_embedding.weight"] = model.position
    for number, layer in enumerate(model.layers):
        prefix = f"{encoder}.layers.{number}"
        put(f"{prefix}.self_attn.in_proj", layer.in_proj, lambda linear: linear.kernel, "_")
        put(f"{prefix}.self_attn.out_proj", layer.out_proj, lambda linear: linear.kernel)
        for name in ("linear1", "linear2"):
            put(f"{prefix}.{name}", getattr(layer, name), lambda linear: linear.kernel)
        for name in ("norm1", "norm2"):
            put(f"{prefix}.{name}", getattr(layer, name), lambda norm: norm.scale)
    if isinstance(model.norm, ScaleNorm):
        places[f"{encoder}.norm.scale"] = model.norm.scale
    else:
        put(f"{encoder}.norm", model.norm, lambda norm: norm.scale)
    for number, linear in enumerate(model.decoder):
        put(f"decoder.{2 * number}", linear, lambda linear: linear.kernel)
    return places
