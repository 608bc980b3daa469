# What a fresh machine needs: Python 3.11 or newer with its venv module, make, and PyPI.
# Nothing is installed outside .venv, .venv-synapse and .venv-fuzz; `make clean` takes them away.

PYTHON ?= python3
# Further arguments for pytest and for the benchmarks: make test ARGS="-k slack"
ARGS ?=
# Processes that share the tests, file by file
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := -m pip --disable-pip-version-check install -qq
SYNAPSE := .venv-synapse
FUZZ := .venv-fuzz
SYNAPSE_PINS := tests/servers/synapse-constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test faults check bench fuzz wheel image hadolint lock clean

help: ## Lists the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 18

demo: $(VENV)/.runtime ## Runs Relay on samples of each kind of event, to look at in the browser
	@$(BIN)/relay demo $(ARGS)

test: $(VENV)/.dev $(SYNAPSE)/.installed ## Runs all tests, against a real Matrix and mail server
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile $(ARGS)

faults: $(VENV)/.dev $(SYNAPSE)/.installed ## Kills, fills, cuts and hangs, for 15 minutes; accounts for every message
	@$(BIN)/pytest tests/faults --long $(ARGS)

check: $(VENV)/.dev ## Lints, checks the format and the types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

bench: $(VENV)/.dev ## Measures speed and size
	@$(BIN)/python -m tests.bench $(ARGS)

fuzz: $(FUZZ)/.installed ## Throws hostile bodies at the parser, for a minute (Linux only)
	@$(FUZZ)/bin/python tests/fuzz/fuzz_wire.py \
		-max_total_time=60 -rss_limit_mb=512 -timeout=5 $(ARGS)

wheel: $(VENV)/.dev ## Builds the wheel into dist/
	@$(BIN)/python -m build --wheel --outdir dist .

image: ## Builds the container as CI does (Debian's buildah, podman and mmdebstrap; as root)
	@tests/deploy/build-image .cache/containers relay:latest

hadolint: $(VENV)/.dev ## Lints the Dockerfile
	@$(BIN)/hadolint deploy/Dockerfile

lock: ## Updates the pins to the newest versions that fit
	@tests/deploy/lock "$(PYTHON)" constraints.txt --editable . --group dev hatchling
	@tests/deploy/lock "$(PYTHON)" $(SYNAPSE_PINS) matrix-synapse

clean: ## Takes away everything that make made
	@rm -rf $(VENV) $(SYNAPSE) $(FUZZ) .cache dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find relay tests -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is made once; what is in it follows pyproject.toml and the pins.
$(VENV)/.pip $(SYNAPSE)/.pip $(FUZZ)/.pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo >&2 'make: needs Python 3.11 or newer, but $(PYTHON) is "'"$$($(PYTHON) --version 2>&1)"'":' \
			'name another, such as make PYTHON=python3.13 $(MAKECMDGOALS)'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo >&2 'make: $(PYTHON) has no venv module; on Debian: apt install python3-venv'; exit 1; }
	@echo 'making $(@D)'
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python $(PIP_INSTALL) --upgrade 'pip>=25.1'  # the first that knows --group
	@touch $@

$(VENV)/.runtime: $(VENV)/.pip pyproject.toml constraints.txt
	@echo 'installing Relay into $(VENV)'
	@$(BIN)/python $(PIP_INSTALL) --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.pip pyproject.toml constraints.txt
	@echo 'installing Relay and its tools into $(VENV)'
	@$(BIN)/python $(PIP_INSTALL) --constraint constraints.txt --editable . --group dev
	@touch $(VENV)/.runtime $@

$(SYNAPSE)/.installed: $(SYNAPSE)/.pip $(SYNAPSE_PINS)
	@echo 'installing Synapse, for the tests, into $(SYNAPSE)'
	@$(SYNAPSE)/bin/python $(PIP_INSTALL) --constraint $(SYNAPSE_PINS) matrix-synapse
	@touch $@

$(FUZZ)/.installed: $(FUZZ)/.pip pyproject.toml constraints.txt
	@echo 'installing Relay and atheris into $(FUZZ)'
	@$(FUZZ)/bin/python $(PIP_INSTALL) --constraint constraints.txt --editable . 'atheris>=3.0'
	@touch $@
