# `make demo` and `make test` set everything up on a fresh machine; see README.md.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
# Processes that run tests, each with a PostgreSQL of its own; a file of tests stays in one of them.
JOBS ?= 2
PYTEST_ARGS ?=
JS := tests/clients/js

.PHONY: help demo test lint bench docs clean postgres redis node chromium

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/'

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/.installed  ## run the server on SQLite with sample data, users and apps
	$(BIN)/fhir-server demo --port $(PORT)

postgres:
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || scripts/install_postgres

redis:
	@command -v redis-server >/dev/null || command -v valkey-server >/dev/null || scripts/install_redis

node:
	@command -v node >/dev/null && command -v npm >/dev/null || scripts/install_node

chromium:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || scripts/install_chromium

$(JS)/node_modules/.installed: $(JS)/package.json | node
	npm install --prefix $(JS) --ignore-scripts --omit=optional --no-package-lock --no-audit --no-fund --loglevel error
	touch $@

test: $(VENV)/.installed $(JS)/node_modules/.installed postgres redis chromium  ## run all tests, on SQLite and on a PostgreSQL started for them
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(PYTEST_ARGS)

lint: $(VENV)/.installed  ## formatting, lint, types and import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed postgres  ## measure this server on PostgreSQL (see bench/README.md)
	$(BIN)/python -m bench.run $(BENCH_ARGS)

docs: $(VENV)/.installed  ## write the pages that are generated from the code
	$(BIN)/python scripts/generate_docs.py
	$(BIN)/python -m tests.docs.round_trips

clean:  ## remove what the targets made
	rm -rf $(VENV) $(JS)/node_modules var .mypy_cache .ruff_cache .pytest_cache .hypothesis
