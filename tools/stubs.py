"""Write the type stubs of what is made from a table at run time: `python -m tools.stubs`.

The named cells, functions in `named.py` and classes in `nnx/named.py` and `linen/named.py`, get their signatures from the classes
of their core and drive. A type checker does not run that code, so the signatures are written beside it, and checked in.
"""

import inspect
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any

from momentum_rnn_jax import activations, named, orthogonal
from momentum_rnn_jax.layer.names import CONSTRUCTORS
from momentum_rnn_jax.linen import named as linen_named
from momentum_rnn_jax.linen.cells import RecurrentCell
from momentum_rnn_jax.nnx import named as nnx_named

PACKAGE = pathlib.Path(named.__file__).parent

STRINGS = tuple(dict.fromkeys((*activations.NAMES, *orthogonal.MAPS, *orthogonal.SKEW_INITS, "default", "released")))
"""Every string that some option allows."""

TYPES = {
    "dtype": "DTypeLike | None",
    "param_dtype": "DTypeLike",
    "learnable": "Learnable",
    "kernel_init": "Initializer | None",
    "recurrent_kernel_init": "Initializer | None",
    "bias_init": "Initializer | None",
    "rngs": "nnx.Rngs",
    "parent": "Any",
    "name": "str | None",
}
"""The type of an option whose annotation says less, by name."""

FLAX_IMPORTS = """from jax.typing import ArrayLike, DTypeLike

from momentum_rnn_jax.layer import Initializer
from momentum_rnn_jax.learnable import Learnable
"""


def stubs() -> dict[pathlib.Path, str]:
    """The text of every stub, by path."""
    functions = [f"def {name}({_parameters(getattr(named, name), getattr(named, name))}) -> Cell: ..." for name in named.__all__]
    nnx_classes = [_class(getattr(nnx_named, name), fields=()) for name in CONSTRUCTORS]
    linen_classes = [_class(cls := getattr(linen_named, name), fields=_own_fields(cls)) for name in CONSTRUCTORS]
    return {
        PACKAGE / "named.pyi": _stub(
            "from jax.typing import ArrayLike\n\nfrom momentum_rnn_jax.cell import Cell", named.__all__, functions
        ),
        PACKAGE / "nnx" / "named.pyi": _stub(
            f"from flax import nnx\n{FLAX_IMPORTS}from momentum_rnn_jax.nnx.cells import RecurrentCell",
            nnx_named.__all__,
            nnx_classes,
        ),
        PACKAGE / "linen" / "named.pyi": _stub(
            f"{FLAX_IMPORTS}from momentum_rnn_jax.linen.cells import RecurrentCell", linen_named.__all__, linen_classes
        ),
    }


def _stub(imports: str, names: Iterable[str], definitions: Iterable[str]) -> str:
    lines = [
        "# Written by `python -m tools.stubs`.",
        "from typing import Any, Literal",
        imports,
        f"__all__ = {list(names)!r}",
        *definitions,
    ]
    source = "\n".join(lines)
    ruff = [sys.executable, "-m", "ruff"]
    fixed = _run([*ruff, "check", "--fix", "--quiet", "--select=F401,I,RUF022", "--stdin-filename=named.pyi", "-"], source)
    return _run([*ruff, "format", "--stdin-filename=named.pyi", "-"], fixed)


def _run(command: list[str], source: str) -> str:
    run = subprocess.run(command, input=source, capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    return run.stdout


def _class(cls: type, fields: Iterable[inspect.Parameter]) -> str:
    constructor = CONSTRUCTORS[cls.__name__]
    lines = [f"{parameter.name}: {_type(parameter, constructor)} = ..." for parameter in fields]
    lines.append(f"def __init__(self, {_parameters(cls, constructor)}) -> None: ...")
    return f"class {cls.__name__}(RecurrentCell):\n" + "".join(f"    {line}\n" for line in lines)


def _own_fields(cls: type) -> list[inspect.Parameter]:
    """The fields of a named Linen cell that the generic one does not have, which are options of its constructor too."""
    generic = inspect.signature(RecurrentCell).parameters
    return [p for name, p in inspect.signature(cls).parameters.items() if name not in generic and name != "features"]


def _parameters(function: Any, constructor: Callable[..., Any]) -> str:
    """The parameters of a signature as source code; `constructor` is the functional one."""
    parts: list[str] = []
    star = False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            star = True
            parts.append("*")
        default = "" if parameter.default is parameter.empty else f" = {_default(parameter.default)}"
        parts.append(f"{parameter.name}: {_type(parameter, constructor)}{default}")
    return ", ".join(parts)


def _type(parameter: inspect.Parameter, constructor: Callable[..., Any]) -> str:
    if parameter.name in TYPES:
        return TYPES[parameter.name]
    if parameter.annotation is str:
        return f"Literal[{', '.join(repr(value) for value in STRINGS if _allows(constructor, parameter.name, value))}]"
    return "ArrayLike" if parameter.annotation is Any else inspect.formatannotation(parameter.annotation)


def _allows(constructor: Callable[..., Any], option: str, value: str) -> bool:
    try:
        constructor(4, **{option: value})
    except ValueError:
        return False
    return True


def _default(value: Any) -> str:
    return repr(value) if value is None or isinstance(value, bool | int | float | str) else "..."


def main() -> None:
    """Write the stubs."""
    for path, text in stubs().items():
        path.write_text(text)
        print(path.relative_to(PACKAGE.parent))


if __name__ == "__main__":
    main()
