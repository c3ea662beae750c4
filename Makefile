# Thin: every target is one labkit command after `tools/prepare`, which installs what is missing and nothing else.

LAB ?= overview
RUNTIME ?= sandbox
LABS ?= 200
RUNS ?= 60
PARTS ?=
PYTHON ?= python3
WITH ?=

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
QUICK := 'tests/e2e/test_overview.py::test_every_proof_holds[sandbox]'
NODE := images/node/labkit/opt/labkit
SHELL_SCRIPTS := tools/prepare tools/packages tools/containerlab .ci/run tests/acceptance/fresh/enter \
	$(NODE)/lib/supervised $(NODE)/lib/finished \
	$(wildcard $(NODE)/services/*/run $(NODE)/services/*/finish)

export PYTHON
# An ordinary user's lacks them on Debian, and the tests use `nft`.
export PATH := $(PATH):/usr/sbin:/sbin

.DEFAULT_GOAL := help
.PHONY: help lab-up lab-down lab-status test test-quick lint image containerlab containerlab-stop bench soak chaos fresh clean prepare prepare-dev

help: ## this list
	@echo 'make TARGET [LAB=$(LAB)] [RUNTIME=$(RUNTIME)]'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

lab-up: prepare ## start the lab LAB on the runtime RUNTIME, run its proofs, suggest what to try next
	@$(BIN)/labkit up $(LAB) --runtime $(RUNTIME)

lab-down: prepare ## stop the lab LAB and remove everything of it
	@$(BIN)/labkit down $(LAB)

lab-status: prepare ## nodes and BGP sessions of the lab LAB
	@$(BIN)/labkit status --lab $(LAB)

# What the tests need is made ready side by side: some of it waits for the network, some computes. `WITH=containerlab`
# adds that target, as continuous integration does.
test: ## everything: lint, types, unit, golden, end-to-end
	@$(MAKE) --no-print-directory --jobs=3 $(WITH) lint image
	@$(PYTEST) --numprocesses=4 --durations=40

test-quick: ## lint, types, unit, golden and one lab: for the inner loop
	@$(MAKE) --no-print-directory --jobs=2 lint image
	@$(PYTEST) --numprocesses=2 --durations=5 tests/unit tests/golden $(QUICK)

lint: prepare-dev ## ruff, mypy --strict, shellcheck
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/mypy tools/*.py
	@shellcheck $(SHELL_SCRIPTS)

image: prepare ## build the nodes' image, or the layer of it that changed
	@$(BIN)/labkit image build --runtime $(RUNTIME)

containerlab: ## Docker and containerlab: installs and starts what is missing of them
	@tools/containerlab

containerlab-stop: ## stop the Docker engine if `make containerlab` started it
	@tools/containerlab stop

bench: prepare-dev image ## the figures, as ratios measured in one run; PARTS="up fib" are some of them
	@$(BIN)/python -m tests.bench $(PARTS)

soak: prepare-dev image ## the long suite: every lab on both runtimes, a thousand examples a property, LABS random labs (200)
	@LABKIT_SOAK=$(LABS) $(PYTEST) --numprocesses=3 --durations=40

chaos: prepare-dev image ## random faults, repairs and changes of RUNS labs (60, up to two hours); a failure leaves a script
	@LABKIT_CHAOS=$(RUNS) $(PYTEST) --labkit-runtime=sandbox -s tests/e2e/chaos

fresh: prepare-dev ## the README's two commands in a bare Debian, as an ordinary user (needs root)
	@$(BIN)/python -m tests.acceptance.fresh

clean: ## remove the Python environment and caches of this folder; images and labs stay
	rm -rf .venv .mypy_cache .ruff_cache .hypothesis build dist
	find labkit tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

prepare:
	@tools/prepare

prepare-dev:
	@tools/prepare --dev
