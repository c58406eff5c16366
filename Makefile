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

.PHONY: demo test test-all lint format bench clean

demo: $(VENV)/.installed
	$(RUN) -m experiments.demo

test: $(VENV)/.installed
	$(RUN) -m pytest -n $(WORKERS) --dist worksteal --durations=10

test-all: $(VENV)/.installed
	$(RUN) -m pytest -n $(WORKERS) --dist worksteal --durations=10 -m "exhaustive or not exhaustive"

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

clean:
	rm -rf .venv .venv-* .cache build dist *.egg-info

$(VENV)/.installed: setup.cfg pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --editable '.[dev]'
	touch $@
