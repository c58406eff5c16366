"""Malformed calls of every public name: each is refused in one line that names the argument and says what was got.

The calls are declared in `tests/malformed`. They are enumerated rather than drawn. Where several names run the same checks, all
but one are tried with a sample of the values.
"""

import inspect
import pathlib
import re
import zlib

import jax
import pytest

import momentum_rnn_jax as mr
from momentum_rnn_jax import analysis, hippo, interop, orthogonal
from momentum_rnn_jax import linen as mlinen
from momentum_rnn_jax import nnx as mnnx
from tests.malformed.junk import Traced, Vast
from tests.malformed.rows import REFUSED, ROWS, SAMPLED, TWINS, UNCHECKED

PACKAGE = str(pathlib.Path(mr.__file__).parent)
SEED = 0  # of the samples


def family(name):
    return name if name not in TWINS else ".".join([*name.split(".")[:-1], "named"])


def cases(name):
    """`(argument, label, value)` of the calls that are tried."""
    row = ROWS[name]
    every = [(argument, label, value) for argument in row.arguments() for label, value in row.wrong(argument).items()]
    if hasattr(row.function, "__signature__"):  # it binds its arguments itself
        every.append(("stepsize", "misspelt", 0.5))
    for argument, label, value in every:
        if zlib.crc32(f"{SEED} {name} {argument} {label}".encode()) % SAMPLED.get(name, 1) == 0:
            yield argument, label, value


def call(name, argument, value):
    row = ROWS[name]
    if isinstance(value, Traced):
        jax.eval_shape(lambda traced: call(name, argument, traced), jax.ShapeDtypeStruct(value.shape, value.dtype))
    elif isinstance(value, Vast):
        jax.eval_shape(lambda: call(name, argument, value.value))
    else:
        row.run({**row.valid(), argument: value})


def complaint(name, argument, value):
    """What is wrong with how a call refuses a value; nothing if it does so well."""
    try:
        call(name, argument, value)
    except Exception as error:
        message, frame = str(error), error.__traceback__
        while frame.tb_next is not None:
            frame = frame.tb_next
        if type(error) not in (TypeError, ValueError):
            return f"{type(error).__name__}: {message}"
        if not frame.tb_frame.f_code.co_filename.startswith(PACKAGE):
            return f"raised outside of the package: {message}"
        if "\n" in message or len(message) >= 400:
            return f"not one line of less than 400 characters: {message}"
        if not re.search(rf"(\b|_){argument}\b", message):  # Linen's `features` are the core's `hidden_features`
            return f"does not name the argument: {message}"
        if not re.search(r"\b(got|has|lacks|but)\b", message):
            return f"does not say what was got: {message}"
        if re.search(r"[Aa]rray\(|Tracer\(|Traced<| at 0x", message):
            return f"dumps a value: {message}"
        return None
    return "accepted"


@pytest.mark.parametrize("name", ROWS)
def test_malformed_calls_are_refused(name):
    found = {f"{name}({argument}={label})": complaint(name, argument, value) for argument, label, value in cases(name)}
    wrong = [f"{case}: {why[:300]}" for case, why in found.items() if why]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", ROWS)
def test_the_valid_arguments_are_accepted(name):
    jax.eval_shape(lambda: (ROWS[name].run(ROWS[name].valid()), None)[1])


def test_there_are_many():
    assert sum(1 for name in ROWS for _ in cases(name)) >= 1000


def public():
    """Every public function and class; named tuples and abstract classes check nothing."""
    listed = [(module, module.__all__) for module in (mr, analysis, hippo, interop)]
    defined = [
        (module, [n for n, value in vars(module).items() if getattr(value, "__module__", "").startswith(module.__name__)])
        for module in (orthogonal, mnnx, mlinen)
    ]
    for module, names in listed + defined:
        for name in names:
            value = getattr(module, name)
            if not name.startswith("_") and callable(value) and not hasattr(value, "_fields") and not inspect.isabstract(value):
                yield name, value


def test_every_public_callable_has_a_row():
    called = {row.function for row in ROWS.values()}
    assert {name for name, value in public() if value not in called} == set(UNCHECKED)


def test_every_argument_has_values_to_refuse():
    assert {a for row in ROWS.values() for a in row.arguments() if a not in REFUSED and a not in row.refused} == set()
