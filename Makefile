# Everything a developer does here. Needs python3 (3.11 or newer) with pip; `make check` also needs Node for pyright.

PYTHON ?= python3
ARGS   ?=
VENV   := .venv
BIN    := $(VENV)/bin
PIP     = $(1)/bin/python -m pip install --quiet --disable-pip-version-check

# Stamps: the environment is filled once, and again when pyproject.toml changes. What `dev` installs covers `demo`.
DEMO := $(VENV)/.installed-demo
DEV  := $(VENV)/.installed-dev

.PHONY: help demo test test-bare test-mcp1 check format bench bench-agentdojo soak screenshots clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(DEMO) ## install with the MCP extra and watch Aegis govern a real MCP server
	@$(BIN)/aegis demo $(ARGS)

test: $(DEV) ## run all tests, with every extra (ARGS="-k name", or ARGS="-n auto --dist loadfile" on all cores)
	@$(BIN)/python -m pytest $(ARGS)

test-bare: .venv-bare/.installed ## run the tests with no extra installed
	@.venv-bare/bin/python -m pytest -m "not slow" $(ARGS)

test-mcp1: .venv-mcp1/.installed ## run the tests with version 1 of the MCP SDK
	@.venv-mcp1/bin/python -m pytest -m "not slow" $(ARGS)

check: $(DEV) ## ruff, mypy, pyright and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: $(DEV) ## format the code and mend what ruff can mend
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(DEV) ## run the benchmarks: ratios taken in one run
	@$(BIN)/python -m benchmarks $(ARGS)

bench-agentdojo: .venv-agentdojo/.installed ## replay AgentDojo's tasks and attacks under policies (ARGS="travel")
	@.venv-agentdojo/bin/python -m benchmarks.agentdojo $(ARGS)

soak: $(DEV) ## run governed programs for half an hour while their stores come and go (ARGS="--minutes 2")
	@$(BIN)/python -m benchmarks.soak $(ARGS)

screenshots: $(DEV) ## take the pictures of the console in docs/images again (needs Chromium)
	@$(BIN)/python -m tests.console.screenshots

clean: ## remove the environments and every cache
	rm -rf .venv .venv-agentdojo .venv-bare .venv-mcp1 .venv-peer .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

%/bin/python:
	$(PYTHON) -m venv $*

$(DEMO): pyproject.toml | $(BIN)/python
	@echo "Installing aegis-agents[mcp] into $(VENV) (once) ..."
	@$(call PIP,$(VENV)) --editable '.[mcp]'
	@touch $@

# `--group` reads [dependency-groups] of pyproject.toml; it came with pip 25.1.
$(DEV): pyproject.toml | $(BIN)/python
	@echo "Installing aegis-agents[all] and the development tools into $(VENV) (once) ..."
	@$(call PIP,$(VENV)) 'pip>=25.1'
	@$(call PIP,$(VENV)) --group dev --group frameworks --editable '.[all]'
	@touch $(DEMO) $@

.venv-bare/.installed: pyproject.toml | .venv-bare/bin/python
	@$(call PIP,.venv-bare) 'pip>=25.1'
	@$(call PIP,.venv-bare) --group dev --editable .
	@touch $@

.venv-mcp1/.installed: pyproject.toml | .venv-mcp1/bin/python
	@$(call PIP,.venv-mcp1) 'pip>=25.1'
	@$(call PIP,.venv-mcp1) --group dev --group frameworks --editable '.[all]' 'mcp<2' 'langchain-mcp-adapters>=0.3.2'
	@touch $@

# AgentDojo brings SDKs of half a dozen model vendors, so it has an environment of its own.
.venv-agentdojo/.installed: pyproject.toml | .venv-agentdojo/bin/python
	@echo "Installing aegis-agents and AgentDojo into .venv-agentdojo (once) ..."
	@$(call PIP,.venv-agentdojo) --editable . 'agentdojo==0.1.35'
	@touch $@
