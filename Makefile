# Everything runs in the local environment .venv, which is made on first use and renewed
# when pyproject.toml changes. `make help` lists the targets.

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
# Compiled programs are kept, the smallest too: for later files of tests, for other
# workers and for the next run. Fast tests compile thousands of small programs and run
# them once, so that XLA is not to optimise, to use the emitters of single operations
# and to make each program in one piece: a random draw takes it a twentieth of the time,
# a gradient a fifth. Slow ones run what they compile for long, or time it.
# Python keeps the bytecode too, whatever the surroundings say: every command that a test
# starts would compile the whole package anew.
PYTEST := env -u PYTHONDONTWRITEBYTECODE \
  JAX_COMPILATION_CACHE_DIR=$(CURDIR)/.jax_cache \
  JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 \
  $(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile
COMPILED_ONCE := --xla_backend_optimization_level=0 \
  --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1
COMPILED_TO_RUN := --xla_backend_optimization_level=1

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint format docs docs-check table clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.installed ## simulate, refine and control forced Burgers flow with the shipped models
	$(BIN)/wdno demo burgers --out demo

test: $(VENV)/.installed-test ## the fast tests
	XLA_FLAGS="$(COMPILED_ONCE)" $(PYTEST) -m "not slow"

test-slow: $(VENV)/.installed-test ## the tests that take more than ten seconds each
	XLA_FLAGS="$(COMPILED_TO_RUN)" $(PYTEST) -m slow

lint: $(VENV)/.installed-lint ## style, formatting, static types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(VENV)/.installed-lint ## rewrite the files in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-docs ## build the documentation into docs/_build/html
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html
	@echo "open docs/_build/html/index.html"

docs-check: $(VENV)/.installed-test docs ## look at every page of the documentation in Chromium
	$(BIN)/python -m pytest -m slow tests/test_documentation.py -rs

table: $(VENV)/.installed ## rewrite the tables of the docs from experiments/results
	$(BIN)/python experiments/table.py

clean: ## remove what the other targets made, except the environment
	rm -rf demo docs/_build docs/api/generated .jax_cache .pytest_cache \
	  .ruff_cache .hypothesis
	find wdno tests experiments -name __pycache__ -prune -exec rm -rf {} +

# The stamp is written last, so that an interrupted installation is started anew.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "wdno needs Python 3.11 or newer, but PYTHON is '$(PYTHON)'" \
	    "($$($(PYTHON) --version 2>&1 | head -n 1))." \
	    "Name another one: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; \
	  exit 1; }
	@echo "Creating $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@touch $@

# pip writes bytecode in one process, that of the tests of every library too: in all
# processes, and without these, it takes a third of the time. What is not Python of this
# version (templates, say) has no bytecode.
define install
@echo "Installing wdno$(1) into $(VENV) (once; a minute or two)"
@$(BIN)/python -m pip install --quiet --no-compile --editable '.$(1)'
@$(BIN)/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib || true
@touch $@
endef

$(VENV)/.installed: pyproject.toml $(VENV)/.created
	$(call install,)

$(VENV)/.installed-%: pyproject.toml $(VENV)/.created
	$(call install,[$*])
