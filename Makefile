# `make demo` and `make test` do all their set-up themselves; they need Python >= 3.11 and nothing else.
# `make test PYTHON=python3.12` uses another Python, in a virtual environment of its own.
PYTHON ?= python3
ifeq ($(PYTHON),python3)
VENV := .venv
else
VENV := .venv-$(notdir $(PYTHON))
endif
RUN := $(VENV)/bin/python
WORKERS ?= 2

# Compiled programs are kept between runs, so that a second run is quick.
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/jax
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0.2

.PHONY: demo test test-all test-without-native native sanitize wheels lint format bench docs clean

demo: $(VENV)/.installed
	$(RUN) -m experiments.demo

test: $(VENV)/.installed
	$(RUN) -m pytest -n $(WORKERS) --dist worksteal --durations=10

# All tests, with XLA's default code generation but for LLVM's optimisation; `make test` compiles faster (tests/conftest.py).
test-all: $(VENV)/.installed
	XLA_FLAGS="$${XLA_FLAGS---xla_backend_optimization_level=0}" $(RUN) -m pytest -n $(WORKERS) --dist worksteal --durations=10 -m "exhaustive or not exhaustive"

# What depends on whether the native kernels are there, once more without them.
test-without-native: $(VENV)/.installed
	MOMENTUM_RNN_JAX_NATIVE=0 $(RUN) -m pytest -n $(WORKERS) --dist worksteal tests/test_native_absent.py tests/test_unroll.py \
		tests/test_eager.py tests/test_export.py

# The native kernels of this checkout, compiled again.
native: $(VENV)/.installed
	MOMENTUM_RNN_JAX_NATIVE=1 $(RUN) setup.py --quiet build_ext --inplace

# Their tests under AddressSanitizer and UndefinedBehaviorSanitizer, and those with threads under ThreadSanitizer.
sanitize: $(VENV)/.installed
	$(RUN) -m tools.sanitize

# One wheel for every Python, for the platforms of pyproject.toml; needs Docker on Linux.
wheels: $(VENV)/.installed
	$(RUN) -m pip install --quiet cibuildwheel
	$(RUN) -m cibuildwheel --output-dir dist

lint: $(VENV)/.installed
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: $(VENV)/.installed
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

# torch, a peer, is large: benchmarks have an environment of their own. `make bench BENCH='--suite shapes'` runs another suite.
bench: $(VENV)-bench/.installed
	$(VENV)-bench/bin/python -m benchmarks.run $(BENCH)

$(VENV)-bench/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --editable '.[bench]'
	touch $@

# The documentation site, in build/docs: its notebooks are executed, and a warning is an error. Its environment is its own.
docs: $(VENV)-docs/.installed
	$(VENV)-docs/bin/python -m sphinx -b html -c docs -W --keep-going -d build/doctrees $(DOCS) . build/docs
	@echo "open build/docs/index.html"

$(VENV)-docs/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/python -m pip install --quiet --editable '.[docs]'
	touch $@

clean:
	rm -rf .venv .venv-* .cache build dist *.egg-info

$(VENV)/.installed: setup.cfg pyproject.toml setup.py $(wildcard native/*)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --editable '.[dev]'
	touch $@
