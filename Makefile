# `make` checks quickly, `make up` runs a cluster, `make test` runs everything that this machine can.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
MODULES := tests/system/node/node_modules/.package-lock.json
# What `make up ARGS="--servers 5"` hands on.
ARGS ?=

.PHONY: check lint types floors quick test torture up storm bench bench-full docs deb clean

check: lint types floors quick

# The environment follows pyproject.toml: it is brought up to date whenever that is newer.
$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# atheris, which fuzzes the decoders, has no wheel for every machine.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,fuzz]' --config-settings editable_mode=compat \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' --config-settings editable_mode=compat
	touch $(STAMP)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

floors: $(STAMP)
	$(BIN)/lint-imports --no-cache > $(VENV)/floors.txt || { cat $(VENV)/floors.txt; exit 1; }

quick: $(STAMP)
	$(BIN)/pytest -m "not slow and not system" tests

# Clients in another language take part where npm can install them; else the summary lists them as not run.
$(MODULES): tests/system/node/package-lock.json
	@! command -v npm > /dev/null || npm ci --prefix tests/system/node --no-audit --no-fund --silent || true

# Two runs side by side; ARGS="-x".
test: $(STAMP) $(MODULES)
	$(BIN)/python -m tests.halves $(ARGS)

# Real processes through kills, cuts and power cuts; ARGS="--hours 4", "--servers 5", "--seed …".
torture: $(STAMP)
	$(BIN)/python -m tests.torture $(ARGS)

# Simulated clusters through storms, for as long as one lets them; Ctrl-C ends it, the next time it goes on.
storm: $(STAMP)
	@$(BIN)/python -m tests.simulation.endless $(ARGS)

up: $(STAMP)
	@$(BIN)/recado up $(ARGS)

# Beside the peers that are installed (docs/benchmarks.md); in less than ten minutes, and in hours.
bench: $(STAMP)
	$(BIN)/python -m bench $(if $(ARGS),$(ARGS),--quick)

bench-full: $(STAMP)
	$(BIN)/python -m bench all steps encoding security $(ARGS)

docs: $(STAMP)
	$(BIN)/python -m tests.house

# build/recado_VERSION_ARCH.deb, for Debian 12; ARGS="--architecture arm64".
deb: $(STAMP)
	@$(BIN)/python packaging/deb/build.py $(ARGS)

# The data in var/ is not a by-product and stays; `recado down --wipe` removes it.
clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find recado storage daemons clients tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
