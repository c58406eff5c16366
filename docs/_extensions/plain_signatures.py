"""Signatures as a reader would write them: `Array`, the library's own names of types, short defaults.

What Sphinx writes by itself spells out every alias (`dict[str, dict[str, Array]]` is `Params` everywhere else), prints defaults that
are objects as `<class 'float'>`, and takes the constructor of an NNX module for that of its metaclass.
"""

import inspect
import re
from typing import Any

from flax import linen, nnx
from sphinx.util.typing import stringify_annotation

from momentum_rnn_jax.cell import Params
from momentum_rnn_jax.learnable import Learnable
from momentum_rnn_jax.unroll import Method, Remat

ALIASES = {"Params": Params, "Method": Method, "Remat": Remat, "Learnable": Learnable}
"""Names of types that stand for longer ones."""


def signature(obj: Any) -> tuple[str, str] | None:
    """The parameters and the returned type of a function or class as text; None where Python knows none."""
    if inspect.isclass(obj) and issubclass(obj, nnx.Variable):
        return "(value)", ""
    try:
        found = inspect.signature(obj)
        if inspect.isclass(obj) and list(found.parameters) == ["args", "kwargs"]:  # NNX's metaclass
            found = inspect.signature(obj.__init__)
    except (TypeError, ValueError):
        return None
    parameters = [parameter for parameter in found.parameters.values() if parameter.name != "self"]
    if inspect.isclass(obj) and issubclass(obj, linen.Module):
        parameters = [parameter for parameter in parameters if parameter.name != "parent"]  # what Flax itself passes
    names = [_parameter(parameter) for parameter in parameters]
    kinds = [parameter.kind for parameter in parameters]
    if inspect.Parameter.KEYWORD_ONLY in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        names.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    if (only := kinds.count(inspect.Parameter.POSITIONAL_ONLY)) and only < len(names):
        names.insert(only, "/")
    returned = "" if inspect.isclass(obj) else annotation(found.return_annotation)
    return f"({', '.join(names)})", returned


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    kind, default = annotation(parameter.annotation), _default(parameter.default)
    return f"{stars}{parameter.name}{f': {kind}' if kind else ''}{f' = {default}' if default else ''}"


def annotation(value: Any) -> str:
    """An annotation as text; nothing for none and for `Any`, which says no more."""
    if value is inspect.Parameter.empty or value is Any:
        return ""
    for name, alias in ALIASES.items():
        if value == alias:
            return name
    text = value if isinstance(value, str) else stringify_annotation(value, "smart", short_literals=False)
    for name, alias in ALIASES.items():
        text = text.replace(stringify_annotation(alias, "smart"), name)
    text = re.sub(r"~?\b(?:[A-Za-z_]\w*\.)+([A-Za-z_]\w*)", r"\1", text)
    text = text.replace("Callable[[...], Array]", "Initializer")
    text = re.sub(r"ndarray\[tuple\[Any, \.\.\.\], dtype\[\w+\]\]", "ndarray", text)
    return text if len(text) < 90 else ""


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return ""
    if inspect.isclass(value) or inspect.isfunction(value):
        return value.__name__
    if isinstance(value, int | float | str | bool | tuple | None):
        return repr(value)
    text = repr(value) if not inspect.ismodule(value) else value.__name__
    if hasattr(value, "dtype") and text.startswith("<class"):  # a scalar type of jax.numpy
        text = value.dtype.name
    return "..." if "<" in text or len(text) > 40 else text


def setup(app: Any) -> dict[str, Any]:
    """Use `signature` for whatever the reference documents."""

    def process(app: Any, what: str, name: str, obj: Any, options: Any, *old: str | None) -> tuple[str, str] | None:
        if what not in ("class", "function", "method"):
            return None
        return signature(obj) if what != "method" or callable(obj) else None

    app.connect("autodoc-process-signature", process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
