# `make demo` and `make test` do all the set-up themselves; CI and people run the same targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OMI_ESTIMATORS_DATA ?= ../shared/data

.PHONY: demo test test-slow fuzz lint bench clean

# The stamp is newer than what it was made from, so a changed requirement installs again.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/omi-estimators compare --out report/demo

test: $(VENV)/installed
	$(BIN)/python -m pytest -m 'not slow'

test-slow: $(VENV)/installed
	$(BIN)/python -m pytest -m slow

# A hundred thousand malformed inputs.
fuzz: $(VENV)/installed
	$(BIN)/python tests/fuzz.py

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

bench: $(VENV)/installed
	$(BIN)/python -m benchmarks --ptbxl $(OMI_ESTIMATORS_DATA)/ptb-xl-500 --ludb $(OMI_ESTIMATORS_DATA)/ludb --vendor $(OMI_ESTIMATORS_DATA)/vendor

clean:
	rm -rf $(VENV) report build dist .mypy_cache .pytest_cache .ruff_cache
