"""The optional native kernels: compiled where a C++ compiler is found, left out with one line where none is.

Everything else is in setup.cfg. `MOMENTUM_RNN_JAX_NATIVE=0` leaves them out; `=1` makes a failure an error, for
building wheels. `python setup.py build_ext --inplace` compiles them again for a checkout.
"""

import concurrent.futures
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

SOURCES = Path(__file__).resolve().parent / "native"
NAME = "momentum_rnn_jax.native.kernels"
# No -ffast-math: it lets NaN vanish, and makes a library flush denormal numbers for the whole process when it is loaded.
FLAGS = ["-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fPIC", "-fvisibility=hidden"]
FLAGS += ["-Wall", "-Wextra"]
INSTRUCTION_SETS = {"base": []}
if platform.machine() in ("x86_64", "AMD64"):
    v4 = ["-march=x86-64-v4", "-mprefer-vector-width=512"]
    INSTRUCTION_SETS = {"base": ["-march=x86-64"], "v3": ["-march=x86-64-v3"], "v4": v4}
REALS = {"f32": "float", "f64": "double"}


class NoLibraryError(Exception):
    """Why the kernels cannot be compiled, in one line."""


def words(variable: str) -> list[str]:
    """An environment variable, split as a shell would."""
    try:
        return shlex.split(os.environ.get(variable, ""))
    except ValueError as error:
        raise NoLibraryError(f"{variable} is malformed: {error}") from None


def compiler() -> list[str]:
    """The command of the C++ compiler: `CXX`, or the first of the usual ones."""
    if sys.platform == "win32":
        raise NoLibraryError("they are not written for Windows")
    for command in (words("CXX"), ["g++"], ["clang++"], ["c++"]):
        if command and shutil.which(command[0]):
            return command
    raise NoLibraryError("no C++ compiler was found (g++ or clang++, or the environment variable CXX)")


def headers() -> str:
    """Where the headers of XLA's foreign function interface are."""
    try:
        import jaxlib
    except ImportError:
        raise NoLibraryError("jaxlib, which has the headers, is not installed") from None
    folder = Path(jaxlib.__file__).parent / "include"
    if not (folder / "xla/ffi/api/ffi.h").exists():
        raise NoLibraryError(f"jaxlib {jaxlib.__version__} has no headers of the foreign function interface")
    return str(folder)


def compile_library(output: Path) -> None:
    """Compile and link the kernels, once for every instruction set and precision."""
    extra = words("CXXFLAGS")
    command = [*compiler(), *FLAGS, *extra, "-isystem", headers(), "-c"]
    with tempfile.TemporaryDirectory() as folder:
        jobs = [[*command, str(SOURCES / "handlers.cc"), "-o", f"{folder}/handlers.o"]]
        for target, flags in INSTRUCTION_SETS.items():
            for short, real in REALS.items():
                name = f"kernels_{short}_{target}"
                defines = [f"-DREAL={real}", f"-DKERNELS={name}"]
                jobs.append([*command, *flags, *defines, str(SOURCES / "kernels.cc"), "-o", f"{folder}/{name}.o"])
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(_run, jobs))
        output.parent.mkdir(parents=True, exist_ok=True)
        strip = [] if extra or sys.platform == "darwin" else ["-s"]
        _run([*compiler(), "-shared", *extra, *strip, "-o", str(output), *sorted(map(str, Path(folder).glob("*.o")))])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        raise NoLibraryError(f"{command[0]} failed")


class BuildKernels(build_ext):
    """Compiles the one extension of this package, which is loaded by ctypes and does not depend on the Python version."""

    def get_ext_filename(self, fullname: str) -> str:
        return os.path.join(*fullname.split(".")) + ".so"

    def build_extension(self, ext: Extension) -> None:
        """Compile it, or say in one line why it is left out."""
        wanted = os.environ.get("MOMENTUM_RNN_JAX_NATIVE", "")
        output = Path(self.get_ext_fullpath(ext.name))
        try:
            if wanted == "0":
                raise NoLibraryError("MOMENTUM_RNN_JAX_NATIVE is 0")
            compile_library(output)
        except NoLibraryError as why:
            if wanted == "1":
                raise
            for stale in (output, Path(__file__).parent / self.get_ext_filename(ext.name)):
                stale.unlink(missing_ok=True)
            print(f"momentum_rnn_jax is installed without its native CPU kernels: {why}.", file=sys.stderr)

    def copy_extensions_to_source(self) -> None:
        """For an editable installation; there may be nothing to copy."""
        if all(Path(self.build_lib, self.get_ext_filename(ext.name)).exists() for ext in self.extensions):
            super().copy_extensions_to_source()


class Wheel(bdist_wheel):
    """One wheel per platform, or one for all of them without the kernels."""

    def get_tag(self) -> tuple[str, str, str]:
        if not Path(self.bdist_dir, *NAME.split(".")).with_suffix(".so").exists():
            return "py3", "none", "any"
        return "py3", "none", super().get_tag()[2]


setup(ext_modules=[Extension(NAME, [])], cmdclass={"build_ext": BuildKernels, "bdist_wheel": Wheel})
