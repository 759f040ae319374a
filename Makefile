# `make demo` and `make test` do all the set-up on a fresh machine: a virtual environment in .venv, everything installed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install demo test quick test-all lint clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	$(BIN)/python -m pip install --quiet "pydensecrf2>=1.1" 2>/dev/null || echo "without a C++ compiler the tests that compare with pydensecrf2 are skipped"
	touch $@

demo: install
	$(BIN)/segfield demo --out demo

# Two workers share the tests out; who is done first takes over from the other. A worker that dies ends the run and is
# named: started again, the run would wait for its tests for ever.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest --numprocesses 2 --dist worksteal --max-worker-restart 0

# Lint and types need one core for half a minute, and so run beside the tests.
test: install
	$(MAKE) --jobs 2 lint quick

quick: install
	$(PYTEST) -m "not thorough and not slow"

# Everything: what `make test` runs, and then what it leaves out. `make test test-all` runs each test once as well.
test-all: test
	$(PYTEST) -m "thorough or slow"

lint: install
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo build dist
