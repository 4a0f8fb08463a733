# Every target sets up what it needs in .venv. A stamp file there records each installation, so the next run installs
# nothing unless pyproject.toml or constraints.txt has changed.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test doc bench format clean

# Tried by running it: a version manager may offer a python3.11 that does not start.
PYTHON ?= $(shell if python3.11 -c '' >/dev/null 2>&1; then echo python3.11; else echo python3; fi)

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check --no-input

EXTRAS_demo := plot,progress
EXTRAS_test := test
EXTRAS_doc := doc
EXTRAS_bench := bench

help:
	@echo "make demo    scikit-learn's digits: a tuned pipeline, held-out likelihoods, few labels, pictures"
	@echo "make test    lint, types, import contracts, doctests and tests"
	@echo "make doc     the documentation, in doc/_build/html"
	@echo "make bench   every script in benchmarks/"
	@echo "make format  format the code and mend what ruff can mend"
	@echo "make clean   remove everything built, $(VENV) excepted"

$(BIN)/python:
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-%: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing skgen[$(EXTRAS_$*)] in $(VENV). The first time this fetches torch and takes some minutes."
	@$(PIP) install -c constraints.txt -e '.[$(EXTRAS_$*)]'
	@touch $@

# A picture is written to a file, so no display is needed. Searches run in two processes, and networks this small gain
# nothing from a second thread, which on a busy machine would mostly wait for the first.
demo: $(VENV)/.installed-demo
	@MPLBACKEND=Agg OMP_NUM_THREADS=1 $(BIN)/python doc/examples/plot_digits_tour.py

# Tests run in two processes of one thread each: their tensors are too small for more.
test: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy skgen
	$(BIN)/lint-imports --no-logo
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

doc: $(VENV)/.installed-doc
	rm -rf doc/generated
	$(BIN)/sphinx-build -W --keep-going -b html doc doc/_build/html

# A name that begins with an underscore is shared by the scripts and is not one of them.
bench: $(VENV)/.installed-bench
	@for script in benchmarks/[!_]*.py; do \
	    echo "== $$script"; \
	    $(BIN)/python "$$script" || exit 1; \
	done

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .

clean:
	rm -rf build dist *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	rm -rf doc/_build doc/auto_examples doc/generated doc/sg_execution_times.rst demo_output doc/examples/demo_output
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
