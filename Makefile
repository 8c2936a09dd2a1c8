# make          lists the targets
# PYTHON=…      chooses the Python that .venv is made with (3.10 or newer)
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt

# Python compiles a module when it is first imported, and only what is used; pip would compile everything, one file after
# another. Where this is set, as in many images, nothing would be kept and every start would compile again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow lint typecheck bench reader real-model docs clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-10s %s\n", $$1, $$2}'

install: .venv/.dev ## Make .venv and install ragshap with its tools

# What the demo needs.
.venv/.core: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) --editable .
	@touch $@

# And the rest, in the same environment; all of it compiled, on all cores, because most of it will be used. Some packages
# hold templates that are not Python, on which compileall fails.
.venv/.dev: .venv/.core
	$(PIP) --editable '.[dev]'
	@$(BIN)/python -m compileall -qq -j 0 .venv/lib || true
	@touch $@

demo: .venv/.core ## Index the example corpus, ask three questions, write one page each to demo/
	@$(BIN)/python examples/demo.py

test: install ## Run the tests but the slow ones
	$(BIN)/python -m pytest --numprocesses auto -m 'not slow'

test-slow: install ## Run the slow tests: clusters, kills, browsers, whole commands, statistics, examples of the docs
	$(BIN)/python -m pytest --numprocesses auto -m slow

lint: install ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: install ## Check types
	$(BIN)/mypy

bench: install ## Measure speed, retrieval, answers and explanations, small, in ten minutes; writes bench/index.html
	$(BIN)/ragshap evaluate report bench --out bench

# Each step is left out once its result is there; a training run goes on from its last checkpoint.
reader: install ## Train the embedded reader on from the weights that ship, with the data sets in DATA=…, in two hours; leaves it in training/reader
	@test -d "$(DATA)/natural" || { echo "give the folder of data sets: make reader DATA=…"; exit 2; }
	$(BIN)/ragshap train --config reader --root "$(DATA)" --out training

real-model: install ## Fetch a small language model (1.8 GB) into the user's cache, which tests of a real reader use if it is there
	$(BIN)/python -m tests.real.fetch

docs: install ## Build the documentation site; writes site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean: ## Remove .venv and everything generated
	rm -rf .venv demo bench site dist build .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
