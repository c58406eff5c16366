"""The public names of the package, by module: what the reference of the documentation has to list."""

import importlib
import types

MODULES = (
    "momentum_rnn_jax",
    "momentum_rnn_jax.analysis",
    "momentum_rnn_jax.hippo",
    "momentum_rnn_jax.interop",
    "momentum_rnn_jax.linen",
    "momentum_rnn_jax.nnx",
    "momentum_rnn_jax.orthogonal",
)


def public_names() -> dict[str, list[str]]:
    """Each module's public names but for modules, and for objects that a module before it has under the same name.

    >>> names = public_names()
    >>> "unroll" in names["momentum_rnn_jax"], "from_torch" in names["momentum_rnn_jax.interop"]
    (True, False)
    """
    seen: set[tuple[str, int]] = set()
    found: dict[str, list[str]] = {}
    for module in MODULES:
        found[module] = []
        for name, value in _members(importlib.import_module(module)).items():
            if not isinstance(value, types.ModuleType) and (name, id(value)) not in seen:
                seen.add((name, id(value)))
                found[module].append(name)
    return found


def _members(module: types.ModuleType) -> dict[str, object]:
    """What `__all__` names; without it, the functions and classes that the module defines."""
    names = getattr(module, "__all__", None)
    if names is None:
        here = {name: value for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__}
        names = [name for name in here if not name.startswith("_")]
    return {name: getattr(module, name) for name in names}
