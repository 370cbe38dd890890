# `make demo` and `make test` set up everything they need; both are quick the second time.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
RUN ?= build/demo

.PHONY: demo test lint bench engines clean
.DEFAULT_GOAL := demo

$(READY): pyproject.toml flab_deploy/engine_locks/main.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "flab-deploy needs Python 3.11 or newer"'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c flab_deploy/engine_locks/main.txt -e ".[dev]"
	touch $@

demo: $(READY)  ## slim, prove, ship and measure the embedded reference model
	$(BIN)/flab run reference --out $(RUN)

# Two files at a time; then, alone, what measures seconds. What lacks a system program says so.
test: $(READY)  ## all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not benchmark and not alone"; \
	first=$$?; $(BIN)/python -m pytest -m "alone and not benchmark" && exit $$first

engines: $(READY)  ## vLLM and the ONNX exporter, which a run would otherwise install when it needs them
	$(BIN)/flab engines install

lint: $(READY)  ## style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## speed and memory as ratios against a reference in the same run
	$(BIN)/python -m pytest tests/benchmarks -m benchmark -s

clean:  ## what builds and runs left in this directory
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
