"""Type checkers see what is made at run time: the stubs are up to date, and `mypy --strict` judges examples as it should."""

import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest

from tests.test_documents import BLOCKS, NOTEBOOKS
from tools import stubs

ROOT = pathlib.Path(__file__).parent.parent
TYPED = ROOT / "tests" / "typed"


@pytest.mark.parametrize(("path", "text"), stubs.stubs().items(), ids=lambda value: getattr(value, "name", ""))
def test_stubs_are_what_the_generator_writes(path, text):
    assert path.read_text() == text, "run `python -m tools.stubs`"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """An interpreter with the package installed from its wheel, and its dependencies from the environment of the tests."""
    directory = tmp_path_factory.mktemp("installed")
    source = directory / "source"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "momentum_rnn_jax", source / "momentum_rnn_jax", ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(directory), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = directory.glob("*.whl")
    venv.create(directory / "venv", with_pip=False)
    site = sysconfig.get_path("purelib", "venv", vars={"base": str(directory / "venv")})
    zipfile.ZipFile(wheel).extractall(site)
    pathlib.Path(site, "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return directory / "venv" / "bin" / "python"


def mypy(python, directory, *arguments):
    """What `mypy --strict` finds, line by line: (file, line, code)."""
    options = [
        "--strict",
        "--no-error-summary",
        "--config-file",
        str(TYPED / "mypy.ini"),
        "--cache-dir",
        str(ROOT / ".cache/mypy"),
    ]
    command = [sys.executable, "-m", "mypy", *options, "--python-executable", str(python), *arguments]
    run = subprocess.run(command, capture_output=True, text=True, cwd=directory)
    assert run.returncode in (0, 1), run.stderr
    return re.findall(r"^(.+?):(\d+): error: .*\[(.+)\]$", run.stdout, re.MULTILINE), run.stdout


def test_examples_are_accepted_and_mistakes_refused(python, tmp_path):
    for path in TYPED.glob("*.py"):
        shutil.copy(path, tmp_path)
    found, output = mypy(python, tmp_path, "accepted.py", "refused.py")
    mistakes = (TYPED / "refused.py").read_text().splitlines()
    expected = {("refused.py", str(n), line.split("# E: ")[1]) for n, line in enumerate(mistakes, 1) if "# E: " in line}
    assert len(expected) > 10
    assert set(found) == expected, output


def test_examples_of_the_documents_are_accepted(python, tmp_path):
    """They do not annotate their own functions, whose bodies are checked all the same."""
    names = []
    for document, number, block in BLOCKS + NOTEBOOKS:
        names.append(f"{pathlib.Path(document).stem.lower()}_{number}.py")
        (tmp_path / names[-1]).write_text(block)
    found, output = mypy(python, tmp_path, "--allow-untyped-defs", "--allow-untyped-calls", *names)
    assert not found, output
