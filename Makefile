# Everything a newcomer and the CI need. `make` alone lists the targets.
PYTHON ?= python3.11
PIP_ARGS ?=
VENV := .venv
PY := $(VENV)/bin/python
LOCK := deploy/lock-cpu.txt

# Two stamps: a change of pyproject.toml alone does not go through the long list again.
LOCK_STAMP := $(VENV)/.lock-installed
STAMP := $(VENV)/.effrl-installed
# Lies in the environment while packages are being written to it. Found at the start, the last install was cut off,
# and pip may take a half-written package for an installed one: then the environment is made anew.
UNFINISHED := $(VENV)/.unfinished

PIP := $(PY) -m pip --disable-pip-version-check install --quiet --progress-bar off --no-deps $(PIP_ARGS)
IS_311 := -c 'import pip, sys; sys.exit(sys.version_info[:2] != (3, 11))'
NO_CPU_TORCH := no CPU build of this torch from your package index: make setup PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"

.DEFAULT_GOAL := help
.PHONY: help setup quickstart test check clean
.SILENT:

help:
	echo 'make setup       install the pinned CPU environment into $(VENV) (about 4 minutes; no compiler needed)'
	echo 'make quickstart  setup, then train the built-in tiny model'
	echo 'make test        setup, then the tests that need neither a GPU nor much time (15 minutes on two cores)'
	echo 'make check       what the CI runs: lint, format, types, tests'
	echo 'make clean       remove $(VENV) and caches; runs/ stays'

setup: $(STAMP)

$(LOCK_STAMP): $(LOCK)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || \
	  { echo 'effrl needs Python 3.11 (its lock is made for it): install it, or say where it is: make setup PYTHON=/path/to/python3.11' >&2; exit 2; }
	if [ -e $(UNFINISHED) ] || ! $(PY) $(IS_311) 2>/dev/null; then $(PYTHON) -m venv --clear $(VENV); fi
	touch $(UNFINISHED)
	echo 'setup 1/3: torch'
	$(PIP) $$(grep -E '^torch==' $(LOCK)) || { echo '$(NO_CPU_TORCH)' >&2; exit 1; }
	grep -q '^cuda.*= None' $(VENV)/lib/python3.11/site-packages/torch/version.py || \
	  { echo '$(NO_CPU_TORCH)' >&2; exit 1; }
	echo 'setup 2/3: the other packages, about 4 minutes'
	grep -v '^deepspeed==' $(LOCK) > $(VENV)/lock-without-deepspeed.txt
	$(PIP) -r $(VENV)/lock-without-deepspeed.txt
	# DeepSpeed comes as source: it needs torch at build time, hence no isolation, and no kernels of its own on a CPU.
	DS_BUILD_OPS=0 DS_ACCELERATOR=cpu $(PIP) --no-build-isolation $$(grep -E '^deepspeed==' $(LOCK))
	rm -f $(UNFINISHED)
	touch $@

$(STAMP): $(LOCK_STAMP) pyproject.toml
	echo 'setup 3/3: effrl'
	$(PIP) --no-build-isolation --editable .
	touch $@
	echo 'setup done: $(VENV)/bin/effrl'

quickstart: setup
	$(VENV)/bin/effrl train quickstart

test: setup
	$(PY) -m pytest -m 'not slow and not gpu'

check: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(MAKE) --no-print-directory test

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
