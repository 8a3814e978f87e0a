# Every target sets up .venv by itself, once; `make help` lists targets and variables.
PYTHON ?= python3
DEMO_BUDGET ?= 2m
DEMO_ARGS ?=
TEST_JOBS ?= 2
TEST_ARGS ?=

BIN := .venv/bin
READY := .venv/.ready
CODE := $(wildcard src tests examples benchmarks)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all lint format clean distclean

help: ## list the targets and variables
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "Variables (make TARGET NAME=value), with their values now:"
	@echo "  PYTHON=$(PYTHON)      interpreter that .venv is made with (3.11 or newer; another one after make distclean)"
	@echo "  DEMO_BUDGET=$(DEMO_BUDGET)      budget of the demo: 30s, 10m, 1h, or a number of evaluations"
	@echo "  DEMO_ARGS=$(DEMO_ARGS)          more options for the demo's 'gcnas search'"
	@echo "  TEST_JOBS=$(TEST_JOBS)         processes that run the tests"
	@echo "  TEST_ARGS=$(TEST_ARGS)          more options for pytest, such as '-k ledger' or one file"

setup: $(READY) ## make .venv with the package (editable) and its development tools

# Whether the package is found here: not where the interpreter has gone, or the folder was moved since.
FOUND := $(BIN)/python -c 'import importlib.util as u, os; assert os.path.samefile(u.find_spec("gcnas").origin, "src/gcnas/__init__.py")' 2>/dev/null

# A .venv that lacks pip was interrupted while being made, or its interpreter has gone: made anew.
.PHONY: again
$(READY): pyproject.toml constraints.txt $(if $(wildcard $(READY)),$(shell $(FOUND) || echo again))
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	  command -v $(PYTHON) >/dev/null || { \
	    echo "error: gcnas needs Python 3.11 or newer; there is no '$(PYTHON)'. Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }; \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "error: gcnas needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Name a newer one: make PYTHON=python3.12" >&2; exit 1; }; \
	  echo "making .venv (once; a few minutes)"; \
	  $(PYTHON) -m venv --clear .venv; }
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY) ## search a small network for scikit-learn's digits; result in runs/demo
	$(BIN)/python -m gcnas search digits --budget $(DEMO_BUDGET) --max-params 60k --seed 0 --out runs/demo --overwrite $(DEMO_ARGS)

test: $(READY) ## run the tests except those marked slow
	$(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadgroup -m "not slow" $(TEST_ARGS)

test-all: $(READY) ## run all tests
	$(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadgroup $(TEST_ARGS)

lint: $(READY) ## check style, types and the direction of imports; changes nothing
	$(BIN)/python -m ruff check $(CODE)
	$(BIN)/python -m ruff format --check $(CODE)
	$(BIN)/python -m mypy
	$(BIN)/python -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

format: $(READY) ## format the code and apply ruff's safe fixes
	$(BIN)/python -m ruff check --fix $(CODE)
	$(BIN)/python -m ruff format $(CODE)

clean: ## remove caches and build results; keeps .venv and runs/
	rm -rf build dist .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## clean, and remove .venv as well
	rm -rf .venv
