# Every target sets up what it needs, so each works on a fresh clone.
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NODE_LOG := $(VENV)/realnode.log
KEEP ?=
CHART_DIR ?=
NODES ?= 100,1000
MINUTES ?= 30
ARGS ?=

.PHONY: help setup tools demo test unit e2e-kind fuzz audit bench bench-scale bench-soak bench-agent lint generate docs lock clean

help: ## Show this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "CNIChain needs Python 3.11 or later; name one with PYTHON=..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) -m venv failed (on Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "Installing the pinned Python packages into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(STAMP) ## Install the Python packages into .venv

tools: $(STAMP) ## Build the real parts that demo and tests run on (about 10 minutes, once)
	@$(BIN)/cnichain dev tools

demo: tools ## Show CNIChain doing its job on a local control plane (KEEP=1 leaves it running)
	@CHART_DIR='$(CHART_DIR)' $(BIN)/python -m demo $(if $(KEEP),--keep)

test: lint tools ## Run all checks and tests
# The node is one for the whole machine and its tests mostly wait, so that they run beside the others.
	@$(BIN)/python -m pytest -v tests/realnode >$(NODE_LOG) 2>&1 & node=$$!; trap 'kill $$node' INT TERM; \
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --ignore tests/realnode --ignore tests/e2e_kind; others=$$?; \
	wait $$node; node=$$?; echo "The tests on the real node:"; cat $(NODE_LOG); test $$others -eq 0 -a $$node -eq 0

unit: $(STAMP) ## Run the tests that need no control plane
	@$(BIN)/python -m pytest -m 'not controlplane' --ignore tests/e2e_kind

# No part of `make test`: it makes a cluster in Docker, and pulls Cilium's chart and images.
e2e-kind: $(STAMP) ## Run the main job on kind with a real Cilium (needs Docker, a network)
	@PYTHONPATH=tests/support $(BIN)/python -m kindrig
	@$(BIN)/python -m pytest tests/e2e_kind

fuzz: $(STAMP) ## Run the fuzz tests with many more examples (about an hour)
	@HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -n 2 --dist worksteal --timeout 7200 tests/security/test_fuzz_conflist.py tests/security/test_fuzz_values.py tests/security/test_fuzz_status.py

# Both ask a database over the network, so that they are no part of `make test`.
audit: $(STAMP) ## Look for known holes in the pinned Python packages and in the helm that ships (network, Go)
	@$(BIN)/uv tool run --from 'pip-audit==2.10.0' pip-audit --require-hashes --disable-pip -r requirements/base.txt
	@cd tools/helm && go run golang.org/x/vuln/cmd/govulncheck@v1.1.4 helm.sh/helm/v4/cmd/helm

bench: tools ## Measure CNIChain beside helm, and how fast the programs start (10 minutes)
	@CHART_DIR='$(CHART_DIR)' $(BIN)/python bench/speed.py $(ARGS)

bench-scale: tools ## Measure clusters of NODES=100,1000 fake nodes: requests, memory, CPU, sizes
	@CHART_DIR='$(CHART_DIR)' $(BIN)/python bench/scale.py --nodes '$(NODES)' $(ARGS)

bench-soak: tools ## Let a cluster live for MINUTES=30: is memory flat, is a write stray
	@CHART_DIR='$(CHART_DIR)' $(BIN)/python bench/soak.py --minutes '$(MINUTES)' $(ARGS)

bench-agent: $(STAMP) ## Measure the agent: repair latency, memory, idle load, start-up
	@$(BIN)/python bench/agent.py

lint: $(STAMP) ## Check style, types, import arrows, and that generated files are fresh
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python tools/generate.py --check

generate: $(STAMP) ## Write the generated files (CRDs, docs tables)
	@$(BIN)/python tools/generate.py

docs: $(STAMP) ## Build the documentation as a site, into docs/_build/html
	@$(BIN)/python tools/generate.py --check
	@$(BIN)/python -m sphinx --fresh-env --fail-on-warning --keep-going --quiet docs docs/_build/html
	@echo "docs/_build/html/index.html"

lock: $(STAMP) ## Compile the requirements files from pyproject.toml
	@$(BIN)/uv pip compile --quiet pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements/dev.txt
	@$(BIN)/uv pip compile --quiet pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements/dev.txt -o requirements/base.txt
	@$(BIN)/uv pip compile --quiet --group pyproject.toml:build --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements/dev.txt -o requirements/build.txt

clean: ## Remove what this Makefile made (the tool cache stays)
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache docs/_build
