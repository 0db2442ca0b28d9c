# make train and make test work on a fresh machine with Python 3.11 to 3.13, git and make. Both set .venv up once: make train
# installs what training needs, make test adds the tests' packages. They use uv if it is installed, else pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TRAIN := $(VENV)/.train
READY := $(VENV)/.ready
UV := $(shell command -v uv 2>/dev/null)
ifdef UV
INSTALL = $(UV) pip install --python $(BIN)/python -c constraints.txt
else
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --no-compile -c constraints.txt
# pip compiles all of the 25,000 files on one core, which takes longer than a minute. Some are templates of code, which
# cannot be compiled.
COMPILE = PYTHONWARNINGS=ignore $(BIN)/python -m compileall -q -j 0 -x '/tests?/' $(VENV)/lib >$(VENV)/compile.log || true
endif
# Images of containers often set it: each process would compile dlcli and the tests again.
unexport PYTHONDONTWRITEBYTECODE
# The site needs neither torch nor dlcli.
DOCS := .venv-docs
ARGS ?=
JOBS ?= 2

.PHONY: train test test-kernels lint bench docs clean

train: $(TRAIN)
	$(BIN)/dlcli train $(ARGS)

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

# The quick tests once for each way of rounding that this processor has, and a table: make test-kernels ARGS=--list
test-kernels: $(READY)
	$(BIN)/python -m tests.kernels -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --num-workers $(JOBS)

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

$(TRAIN): pyproject.toml constraints.txt
	@echo "Installing what training needs into $(VENV): torch, Lightning, MLflow and others"
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e .
	$(COMPILE)
	touch $@

$(READY): pyproject.toml constraints.txt
	@echo "Installing what training and the tests need into $(VENV): torch, Lightning, MLflow, Ray, transformers, mypy and others"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) -e '.[dev]'
	$(COMPILE)
	touch $(TRAIN) $@

clean:
	rm -rf $(VENV) $(DOCS)
