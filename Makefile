# `make demo` and `make test` do all the set-up on a fresh machine: a virtual environment in .venv, everything installed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install demo test lint clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	$(BIN)/python -m pip install --quiet "pydensecrf2>=1.1" 2>/dev/null || echo "without a C++ compiler the tests that compare with pydensecrf2 are skipped"
	touch $@

demo: install
	rm -rf demo
	$(BIN)/segfield demo --out demo

# A worker that dies ends the run and is named: started again, the run would wait for its tests for ever.
test: install lint
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --max-worker-restart 0

lint: install
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo build dist
