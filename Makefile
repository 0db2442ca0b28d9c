# make train and make test work on a fresh machine with Python 3.11 to 3.13, git and make; both set .venv up once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The site needs neither torch nor dlcli.
DOCS := .venv-docs
ARGS ?=
JOBS ?= 2

.PHONY: train test test-kernels lint bench docs clean

train: $(READY)
	$(BIN)/dlcli train $(ARGS)

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

# The quick tests once for each way of rounding that this processor has, and a table: make test-kernels ARGS=--list
test-kernels: $(READY)
	$(BIN)/python -m tests.kernels -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m bench $(ARGS)

# The documentation as a site in build/docs, and with make docs ARGS=serve under http://127.0.0.1:8000. A broken link is an
# error.
docs: $(DOCS)/.ready
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs $(or $(ARGS),build)

$(DOCS)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(DOCS)/bin/python -m pip install --quiet -c constraints.txt --group docs
	touch $@

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) $(DOCS)
