# Two commands do everything on a fresh machine: `make run` plays the lab, `make test` runs the tests.
# Both set up .venv with the versions pinned in constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: run test slow bench docs lint types imports check clean

run: $(STAMP)
	$(BIN)/harness run --objectives sft,space,spin --iters 5

test: $(STAMP)
	$(BIN)/python -m pytest -n 2

slow: $(STAMP)
	$(BIN)/python -m pytest -m "slow"

bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[bench]"
	$(BIN)/python -W ignore -m tests.bench table $(if $(MIRROR),--mirror $(MIRROR))

docs: $(STAMP)
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --conf-dir harness/docs . .site
	@echo "site    .site/index.html"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/pyright

imports: $(STAMP)
	$(BIN)/lint-imports --no-cache

check: lint types imports test

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt "torch==2.13.0"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[ifeval,judge,qlora,dev,docs]"
	touch $(STAMP)

clean:
	rm -rf $(VENV) build .site *.egg-info
