# The same few commands here and in CI. `demo` and `test` set everything up on a fresh machine (Python >= 3.11, pip, make).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS := torch,photos,lmm,report,docs,dev
FLOOR := build/floor
OLDEST := transformers==5.0.0 huggingface-hub==1.33.0 tokenizers==0.22.2

.PHONY: setup demo test test-oldest lint docs bench clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("mmdp needs Python >= 3.11, found " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	$(BIN)/python -m solvers.warm
	touch $@

demo: setup
	$(BIN)/mmdp demo --out runs/demo

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal -m "not alone"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m alone tests/solvers

# Pruning in front of the language model on the oldest supported transformers, laid over the environment.
test-oldest: setup $(FLOOR)/.installed
	PYTHONPATH=$(FLOOR) OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/lmm_integration/test_handover.py

$(FLOOR)/.installed: Makefile
	$(BIN)/python -m pip install --quiet --upgrade --target $(FLOOR) $(OLDEST)
	touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: setup
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

bench: setup
	$(BIN)/python -m pytest benchmarks --benchmark-enable --benchmark-only

clean:
	rm -rf $(VENV) build docs/_build docs/_generated runs
