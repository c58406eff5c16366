"""The wheel holds the package and nothing else, with its native kernels or without, and works outside the repository."""

import configparser
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

import momentum_rnn_jax as mr

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture
def source(tmp_path):
    """What a user unpacks, without what was built in this checkout."""
    folder = tmp_path / "source"
    folder.mkdir()
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("momentum_rnn_jax", "native", "experiments", "tests", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    return folder


def test_what_draws_installs_matplotlib():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    assert extras["plot"].split() == ["matplotlib"]
    assert all("matplotlib" in extras[name].split() for name in ("experiments", "bench", "dev"))


def wheel_of(source, **environment):
    """The wheel, its files, and what the build said."""
    out = source.parent
    # No isolation: setuptools is in the environment, and a test should not need a network.
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    said = subprocess.run(build, check=True, capture_output=True, text=True, env=os.environ | environment)
    (wheel,) = out.glob("*.whl")
    return wheel, zipfile.ZipFile(wheel).namelist(), said.stdout + said.stderr


def installed(wheel, code):
    """What a program says that imports the package from the wheel alone."""
    site = wheel.parent / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = f"import sys; sys.path.insert(0, {str(site)!r}); import momentum_rnn_jax as mr; {code}"
    run = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True, cwd=wheel.parent)
    return run.stdout.strip().replace(str(site), "SITE")


def test_without_a_compiler_the_wheel_holds_the_package_alone(source):
    wheel, files, said = wheel_of(source, MOMENTUM_RNN_JAX_NATIVE="0")
    assert wheel.name == f"momentum_rnn_jax-{mr.__version__}-py3-none-any.whl"
    line = "momentum_rnn_jax is installed without its native CPU kernels: MOMENTUM_RNN_JAX_NATIVE is 0."
    assert [one for one in said.splitlines() if "native CPU kernels" in one] == [line]
    assert {name.split("/")[0] for name in files} == {"momentum_rnn_jax", f"momentum_rnn_jax-{mr.__version__}.dist-info"}
    assert "momentum_rnn_jax/py.typed" in files
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "momentum_rnn_jax").rglob("*.py")}
    assert modules == {name for name in files if name.endswith(".py")}
    assert not [name for name in files if name.endswith(".so")]
    code = "from momentum_rnn_jax import native; print(mr.__file__, native.why_not())"
    assert installed(wheel, code) == "SITE/momentum_rnn_jax/__init__.py the native kernels are not installed"


def test_a_compiler_that_fails_is_one_line(source):
    _, files, said = wheel_of(source, CXX="false")
    line = "momentum_rnn_jax is installed without its native CPU kernels: false failed."
    assert [one for one in said.splitlines() if "native CPU kernels" in one] == [line]
    assert not [name for name in files if name.endswith(".so")]


@pytest.mark.exhaustive
@pytest.mark.skipif(not shutil.which("g++"), reason="there is no g++ here to compile the kernels with")
def test_one_wheel_has_the_kernels_for_every_python_of_a_platform(source):
    wheel, files, _ = wheel_of(source, MOMENTUM_RNN_JAX_NATIVE="1")
    version, python, abi, platform = wheel.name.removesuffix(".whl").rsplit("-", 3)
    assert (version, python, abi) == (f"momentum_rnn_jax-{mr.__version__}", "py3", "none")
    assert platform != "any"
    assert [name for name in files if name.endswith(".so")] == ["momentum_rnn_jax/native/kernels.so"]
    assert zipfile.ZipFile(wheel).getinfo("momentum_rnn_jax/native/kernels.so").file_size < 1_500_000
    assert not [name for name in files if name.endswith((".cc", ".h"))]
    code = (
        "cell = mr.lstm(3); import jax; p = cell.init(jax.random.key(0), 2); print(mr.explain(cell, p, jax.numpy.ones((4, 2))))"
    )
    assert installed(wheel, code).startswith("native: ")
