# What a fresh machine needs: Python 3.11 or newer with its venv module, make, PyPI and npm's
# registry (for the tests only). Nothing is installed outside .venv, .venv-synapse, .venv-node,
# .venv-helm and .venv-fuzz; `make clean` takes them away.

PYTHON ?= python3
# Further arguments for pytest and for the benchmarks: make test ARGS="-k slack"
ARGS ?=
# Processes that share the tests, file by file, or the targets of `make fuzz`
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := -m pip --disable-pip-version-check install -qq
# Only files with a known hash; then Relay itself, which asks no registry for anything.
INSTALL_PINNED := $(PIP_INSTALL) --require-hashes
INSTALL_RELAY := $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
SYNAPSE := .venv-synapse
NODE := .venv-node
HELM := .venv-helm
FUZZ := .venv-fuzz
DIST := dist
RUNTIME_PINS := deploy/requirements.txt deploy/build-requirements.txt
DEV_PINS := tests/requirements.txt
FUZZ_TARGETS := wire protocol messages previews
FUZZ_PINS := tests/fuzz/requirements.txt
SYNAPSE_PINS := tests/servers/synapse-requirements.txt
HELM_PINS := tests/deploy/helm-requirements.txt
NODE_PINS := tests/servers/node/requirements.txt
NPM_PINS := tests/servers/node/package.json tests/servers/node/package-lock.json

.DEFAULT_GOAL := help
.PHONY: help demo test faults check bench catalogs fuzz wheel image hadolint sbom lock version \
	release-check clean

help: ## Lists the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 22

demo: $(VENV)/.runtime ## Runs Relay on samples of each kind of event, to look at in the browser
	@$(BIN)/relay demo $(ARGS)

test: $(VENV)/.dev $(SYNAPSE)/.installed $(NODE)/.installed $(HELM)/.installed ## Runs all tests, against a real Matrix and mail server
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

faults: $(VENV)/.dev $(SYNAPSE)/.installed ## Kills, fills, cuts and hangs, for 15 minutes; accounts for every message
	@$(BIN)/pytest tests/faults --long $(ARGS)

check: $(VENV)/.dev ## Lints, checks the format and the types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

bench: $(VENV)/.dev ## Measures speed and size
	@$(BIN)/python -m tests.bench $(ARGS)

catalogs: $(VENV)/.dev ## Updates the catalogs of translations from the texts; ARGS=pt adds a language
	@$(BIN)/python -m tests.catalogs $(ARGS)

fuzz: $(FUZZ)/.installed ## Throws hostile bodies, requests and messages at Relay, a minute each (Linux only)
	@printf '%s\n' $(FUZZ_TARGETS) | PYTHONPATH=. xargs -P $(WORKERS) -I NAME $(FUZZ)/bin/python \
		tests/fuzz/fuzz_NAME.py -max_total_time=60 -rss_limit_mb=512 -timeout=5 $(ARGS)

wheel: $(VENV)/.dev ## Builds the wheel into dist/
	@$(BIN)/python -m build --wheel --no-isolation --outdir $(DIST) .

image: ## Builds the container as CI does (Debian's buildah, podman and mmdebstrap; as root)
	@tests/deploy/build-image .cache/containers relay:latest

hadolint: $(VENV)/.dev ## Lints the Dockerfile
	@$(BIN)/hadolint deploy/Dockerfile

# From the pins: they name no dependency graph, which the tool would warn about.
sbom: $(VENV)/.dev ## Writes the bill of materials of what Relay runs on (CycloneDX)
	@mkdir -p $(DIST)
	@$(BIN)/python -W ignore::UserWarning -m cyclonedx_py requirements deploy/requirements.txt \
		--pyproject pyproject.toml --output-reproducible --output-format JSON \
		--output-file $(DIST)/penpot-relay.cdx.json

lock: $(VENV)/.dev ## Updates the pins to the newest versions that fit
	@tests/deploy/lock $(BIN)/uv --upgrade

version: ## VERSION=1.2.0 gives the unreleased changes that version
	@$(PYTHON) tests/deploy/release.py version '$(VERSION)'

release-check: $(VENV)/.dev ## Builds a release and proves that it is complete; TAG=v1.2.0, ARGS=--all
	@$(BIN)/python tests/deploy/release.py check --dist $(DIST) --tag '$(TAG)' $(ARGS)

clean: ## Takes away everything that make made
	@rm -rf $(VENV) $(SYNAPSE) $(NODE) $(HELM) $(FUZZ) .cache dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find relay tests -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is made once; what is in it follows pyproject.toml and the pins.
$(VENV)/.pip $(SYNAPSE)/.pip $(NODE)/.pip $(HELM)/.pip $(FUZZ)/.pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo >&2 'make: needs Python 3.11 or newer, but $(PYTHON) is "'"$$($(PYTHON) --version 2>&1)"'":' \
			'name another, such as make PYTHON=python3.13 $(MAKECMDGOALS)'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo >&2 'make: $(PYTHON) has no venv module; on Debian: apt install python3-venv'; exit 1; }
	@echo 'making $(@D)'
	@$(PYTHON) -m venv $(@D)
	@touch $@

$(VENV)/.runtime: $(VENV)/.pip pyproject.toml $(RUNTIME_PINS)
	@echo 'installing Relay into $(VENV)'
	@$(BIN)/python $(INSTALL_PINNED) $(RUNTIME_PINS:%=-r %)
	@$(BIN)/python $(INSTALL_RELAY)
	@touch $@

$(VENV)/.dev: $(VENV)/.pip pyproject.toml $(DEV_PINS)
	@echo 'installing Relay and its tools into $(VENV)'
	@$(BIN)/python $(INSTALL_PINNED) -r $(DEV_PINS)
	@$(BIN)/python $(INSTALL_RELAY)
	@touch $(VENV)/.runtime $@

$(SYNAPSE)/.installed: $(SYNAPSE)/.pip $(SYNAPSE_PINS)
	@echo 'installing Synapse, for the tests, into $(SYNAPSE)'
	@$(SYNAPSE)/bin/python $(INSTALL_PINNED) -r $(SYNAPSE_PINS)
	@touch $@

$(NODE)/.installed: $(NODE)/.pip $(NODE_PINS) $(NPM_PINS)
	@echo 'installing Node and its packages, for the tests, into $(NODE)'
	@$(NODE)/bin/python $(INSTALL_PINNED) -r $(NODE_PINS)
	@cp $(NPM_PINS) $(NODE)
	@PATH="$(CURDIR)/$(NODE)/bin:$$PATH" npm ci --prefix $(NODE) --ignore-scripts --no-audit --no-fund --silent
	@touch $@

# Its bytecode is made when it is used: most of it are schemas.
$(HELM)/.installed: $(HELM)/.pip $(HELM_PINS)
	@echo 'installing Helm, for the tests, into $(HELM)'
	@$(HELM)/bin/python $(INSTALL_PINNED) --no-compile -r $(HELM_PINS)
	@touch $@

$(FUZZ)/.installed: $(FUZZ)/.pip pyproject.toml $(RUNTIME_PINS) $(FUZZ_PINS)
	@echo 'installing Relay and atheris into $(FUZZ)'
	@$(FUZZ)/bin/python $(INSTALL_PINNED) $(RUNTIME_PINS:%=-r %) -r $(FUZZ_PINS)
	@$(FUZZ)/bin/python $(INSTALL_RELAY)
	@touch $@
