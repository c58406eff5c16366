"""The rules of the house: which way imports point, and that every public name is documented with an example."""

import ast
import doctest
import inspect
import pathlib
import re

import pytest

import momentum_rnn_jax as mr

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "momentum_rnn_jax"

# From the bottom up: a module imports from the rows above its own, never from its own row or below. A folder's `__init__` goes by
# the folder's name.
LAYERS = [
    {"_describe", "native"},
    {"_checks", "_compat", "_dtypes", "_fixed_point", "_masked"},
    {"_autodiff", "_pytree"},
    {"activations", "hippo.transition", "orthogonal"},
    {"drives.base", "hippo.legs", "hippo.reconstruct"},
    {"hippo.memory"},
    {"hippo"},
    {"drives.adaptive", "drives.assorted_time", "drives.chain", "drives.hippo", "drives.linear", "drives.optax"},
    {"drives"},
    {"cores.base"},
    {"cores.convolution", "cores.gru", "cores.hippo", "cores.lstm", "cores.minimal", "cores.simple", "cores.wrapper"},
    {"cores.conv_lstm", "cores.convolutional", "cores.leaky", "cores.normalized", "cores.reciprocal", "cores.stochastic"},
    {"cores.layer_norm"},
    {"cores"},
    {"cell"},
    {"execution"},  # nothing is in its `__init__`, which counts as imported with every module of the folder
    {"named", "network", "released_nesterov", "stack", "timed"},
    {"execution.cudnn_support", "execution.native_support", "execution.scan"},
    {"execution.resolve"},
    {"execution.front", "execution.native_operands"},
    {"execution.native_reference", "execution.native_vmap"},
    {"execution.native_call"},
    {"execution.associative", "execution.hoisted", "execution.steps"},
    {"execution.derivatives"},
    {"execution.chunked"},
    {"execution.cudnn", "execution.native"},
    {"unroll"},
    {"analysis._coordinates", "analysis._scaled"},
    {"analysis._run"},
    {"analysis.fixed_points", "analysis.gradients", "analysis.jacobians", "analysis.lyapunov", "analysis.theorem"},
    {"analysis.flossing", "analysis.report"},
    {"analysis"},
    {"interop._files", "interop._layout"},
    {"interop.atn", "interop.convrnn", "interop.flax", "interop.hippo", "interop.load", "interop.released", "interop.torch"},
    {"interop", "layer.names", "layer.options", "learnable"},
    {"layer.init", "layer.run"},
    {"layer.compose"},
    {"layer"},
    {"__init__"},
    # NNX and Linen import neither each other nor, being optional to import, are imported.
    {"linen.cells", "nnx.variables"},
    {"linen.dropout", "linen.named", "nnx.cells"},
    {"linen.layers", "nnx.dropout", "nnx.named"},
    {"linen", "nnx.layers"},
    {"nnx"},
]


def module_name(path):
    name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def imported(path):
    """The names of this project's modules that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_module_has_a_layer():
    assert set(MODULES) == set().union(*LAYERS)


@pytest.mark.parametrize("layer", range(len(LAYERS)))
def test_imports_point_one_way(layer):
    below = set().union(*LAYERS[:layer])
    for module in LAYERS[layer]:
        names = list(imported(MODULES[module]))
        ours = {name.removeprefix("momentum_rnn_jax.") for name in names if name.startswith("momentum_rnn_jax.")}
        assert ours & set(MODULES) <= below, module
        assert not any(name.split(".")[0] in ("experiments", "benchmarks", "tests") for name in names)


def test_the_package_needs_only_its_declared_dependencies():
    allowed = {"jax", "flax", "optax", "numpy", "momentum_rnn_jax"}  # numpy comes with jax
    optional = {"interop._files": {"safetensors"}, "analysis.report": {"matplotlib"}}
    standard = {
        "abc",
        "collections",
        "contextlib",
        "copy",
        "ctypes",
        "dataclasses",
        "difflib",
        "functools",
        "inspect",
        "math",
        "operator",
        "os",
        "pathlib",
        "re",
        "types",
        "typing",
        "warnings",
        "zipfile",
        "zlib",
    }
    for module, path in MODULES.items():
        assert {name.split(".")[0] for name in imported(path)} <= allowed | standard | optional.get(module, set()), module


def public():
    return [(name, getattr(mr, name)) for name in mr.__all__ if not inspect.ismodule(getattr(mr, name))]


def test_all_is_complete():
    assert set(mr.__all__) == {
        name
        for name, value in vars(mr).items()
        if not name.startswith("_")
        and (not inspect.ismodule(value) or name in ("hippo", "interop", "orthogonal"))
        and name != "named"
    }


STATES = [name for name, value in public() if issubclass(type(value), type) and hasattr(value, "_fields")]
PROTOCOLS = ["Core", "Drive", "RecurrentCell"]


@pytest.mark.parametrize("name", [name for name, _ in public() if name not in STATES + PROTOCOLS])
def test_every_public_name_has_an_example(name):
    assert doctest.DocTestFinder(recurse=False).find(getattr(mr, name), name)[0].examples


@pytest.mark.parametrize("name", [name for name, _ in public()])
def test_every_public_name_is_documented(name):
    doc = inspect.getdoc(getattr(mr, name))
    assert doc
    assert not doc.startswith(f"{name}(")  # the docstring that dataclass and NamedTuple make up
    for method, function in vars(getattr(mr, name)).items() if inspect.isclass(getattr(mr, name)) else ():
        if inspect.isfunction(function) and not method.startswith("_"):
            assert inspect.getdoc(getattr(getattr(mr, name), method)), f"{name}.{method}"


def test_only_one_file_touches_the_internals_of_jax():
    internal = ("jax.extend", "jax.interpreters", "jax.experimental", "jax._src")
    for module, path in MODULES.items():
        if module != "_compat":
            assert not [name for name in imported(path) if name.startswith(internal)], module
            if module not in ("_autodiff", "execution.native_call"):  # their primitives' rules are made of types
                assert not re.findall(r"jax\.typeof|lax\.pcast|get_abstract_mesh|AxisType", path.read_text()), module
