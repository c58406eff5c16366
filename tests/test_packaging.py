"""The wheel holds the package and nothing else, and imports outside the repository."""

import pathlib
import shutil
import subprocess
import sys
import zipfile

import momentum_rnn_jax as mr

ROOT = pathlib.Path(__file__).parent.parent


def test_the_wheel_holds_the_package_alone_and_imports_elsewhere(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("momentum_rnn_jax", "experiments", "tests", "benchmarks"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    # No isolation: setuptools is in the environment, and a test should not need a network.
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"momentum_rnn_jax-{mr.__version__}-py3-none-any.whl"
    files = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in files} == {"momentum_rnn_jax", f"momentum_rnn_jax-{mr.__version__}.dist-info"}
    assert "momentum_rnn_jax/py.typed" in files
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "momentum_rnn_jax").rglob("*.py")}
    assert modules == {name for name in files if name.endswith(".py")}

    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = f"import sys; sys.path.insert(0, {str(site)!r}); import momentum_rnn_jax as mr; print(mr.__file__)"
    run = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert run.stdout.strip() == str(site / "momentum_rnn_jax" / "__init__.py")
