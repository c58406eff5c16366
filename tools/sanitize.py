"""The native kernels under sanitizers: `python -m tools.sanitize`, which `make sanitize` runs. Linux with g++ alone.

AddressSanitizer and UndefinedBehaviorSanitizer: the kernels are compiled into a copy of the package in a temporary folder, whose
tests are run with the sanitizers' runtime loaded ahead of Python. Leaks are not looked for: Python and XLA keep memory until the
process ends. ThreadSanitizer: a program of its own, with a pool whose locks it sees.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parent.parent
MEMORY = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer", "-g", "-O1")
THREADS = ("-std=c++17", "-fsanitize=thread", "-g", "-O1", "-march=x86-64")


def main() -> int:
    """Run both; the exit status is that of the worst."""
    return max(memory(), threads())


def memory() -> int:
    """The tests of the kernels under AddressSanitizer and UndefinedBehaviorSanitizer."""
    runtime = [
        subprocess.run(["g++", f"-print-file-name={name}"], check=True, capture_output=True, text=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    with tempfile.TemporaryDirectory() as folder:
        for part in ("momentum_rnn_jax", "native", "tests"):
            shutil.copytree(ROOT / part, f"{folder}/{part}", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        for part in ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / part, folder)
        build = os.environ | {"CXXFLAGS": " ".join(MEMORY), "MOMENTUM_RNN_JAX_NATIVE": "1"}
        subprocess.run([sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"], cwd=folder, env=build, check=True)
        which = [
            "tests/test_native.py",
            "tests/test_native_drives.py",
            "-m",
            "exhaustive or not exhaustive",
            "-k",
            "not share_no_function",
        ]
        options = {"ASAN_OPTIONS": "detect_leaks=0", "LD_PRELOAD": ":".join(runtime), "PYTHONPATH": folder}
        test = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-x", *which]
        return subprocess.run(test, cwd=folder, env=os.environ | options, check=False).returncode


def threads() -> int:
    """Both passes with several threads, under ThreadSanitizer."""
    with tempfile.TemporaryDirectory() as folder:
        kernels = [*THREADS, "-DREAL=float", "-DKERNELS=kernels_f32_base", "-c", str(ROOT / "native/kernels.cc")]
        subprocess.run(["g++", *kernels, "-o", f"{folder}/kernels.o"], check=True)
        program = [*THREADS, str(ROOT / "native/threads_test.cc"), f"{folder}/kernels.o", "-lpthread", "-o", f"{folder}/test"]
        subprocess.run(["g++", *program], check=True)
        options = {"TSAN_OPTIONS": "halt_on_error=1:exitcode=66"}
        return subprocess.run([f"{folder}/test"], env=os.environ | options, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
