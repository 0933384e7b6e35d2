# The two commands of the README are `make demo` and `make test`; each sets up what it needs in .venv.
PYTHON ?= python3
BIN := .venv/bin
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo test check wheel bench clean

demo: .venv/.run
	$(BIN)/python examples/demo.py

# One worker a core, and in each the engines keep to one thread; then the tests that take the time of something.
test: .venv/.dev check
	OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not alone"
	$(BIN)/python -m pytest -m alone

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/basedpyright

wheel: .venv/.dev
	$(BIN)/python -m build --wheel --no-isolation

bench: .venv/.run
	$(BIN)/python benchmarks/window_step.py

clean:
	rm -rf .venv dist demo-out

.venv/.run: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[torch,tensorflow,plot]'
	touch $@

.venv/.dev: .venv/.run
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[torch,tensorflow,plot,dev]'
	touch $@
