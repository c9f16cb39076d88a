# `make demo` and `make test` do all the set-up themselves; CI and people run the same targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OMI_ESTIMATORS_DATA ?= ../shared/data

.PHONY: demo test test-slow test-oldest fuzz lint docs docs-fast dist bench performance clean

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

# And the property tests with examples that no run had before.
test-slow: $(VENV)/installed
	$(BIN)/python -m pytest -m slow
	HYPOTHESIS_PROFILE=new $(BIN)/python -m pytest -m 'not slow' -k 'hypothesis or malformed'

# With the lowest versions that pyproject.toml admits, and models from the newest. scikit-learn 1.9.0 hands pytest its
# checks as newer ones do not.
test-oldest: $(VENV)/installed
	$(PYTHON) -m venv --clear $(VENV)-oldest
	$(PYTHON) .ci/oldest.py > $(VENV)-oldest/constraints.txt
	$(VENV)-oldest/bin/python -m pip install --quiet --constraint $(VENV)-oldest/constraints.txt torch
	$(VENV)-oldest/bin/python -m pip install --quiet --constraint $(VENV)-oldest/constraints.txt --editable '.[dev]'
	$(BIN)/python .ci/models.py save $(VENV)-oldest/models
	$(VENV)-oldest/bin/python .ci/models.py check $(VENV)-oldest/models
	$(VENV)-oldest/bin/python -m pytest -m 'not slow' -W ignore::DeprecationWarning -W 'ignore:Passing a non-Collection iterable'

# A hundred thousand malformed inputs.
fuzz: $(VENV)/installed
	$(BIN)/python tests/fuzz.py

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/python .ci/docstrings.py
	$(BIN)/python .ci/audit.py

# Every example of the gallery is run; a second build runs only those that have changed. A warning is an error.
docs: $(VENV)/installed
	$(BIN)/python -m sphinx -W --keep-going -n -b html $(SPHINXOPTS) docs docs/_build/html

# The same without running the examples.
docs-fast: SPHINXOPTS += -D plot_gallery=0
docs-fast: docs

# A wheel and a source archive, in dist/.
dist: $(VENV)/installed
	$(BIN)/python -m hatchling build -d dist

DATA := --ptbxl $(OMI_ESTIMATORS_DATA)/ptb-xl-500 --ludb $(OMI_ESTIMATORS_DATA)/ludb \
	--vendor $(OMI_ESTIMATORS_DATA)/vendor --staff $(OMI_ESTIMATORS_DATA)/staff-iii/st60_by_lead.csv

# Speed: less than 15 minutes on two cores.
bench: $(VENV)/installed
	$(BIN)/python -m benchmarks --json report/benchmarks.json $(DATA)

performance: bench
	$(BIN)/python -m benchmarks memory precision --json report/benchmarks.json $(DATA)
	$(BIN)/python -m benchmarks.performance report/benchmarks.json docs

clean:
	rm -rf $(VENV) $(VENV)-oldest report build dist .mypy_cache .pytest_cache .ruff_cache
	rm -rf docs/_build docs/api docs/gallery docs/sg_execution_times.rst
