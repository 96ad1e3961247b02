# Two commands are enough on a fresh Debian 12 with Python 3.11: `make demo` and `make test`.
SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.ready
PYTHON ?= $(shell command -v python3.11 || command -v python3)
export DAGSTER_DISABLE_TELEMETRY := 1
export GX_ANALYTICS_ENABLED := false
export PYTHONUTF8 := 1

.PHONY: demo test test-long test-protocol fuzz check serve bench clean lock help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(STAMP): requirements.lock pyproject.toml deploy/setup/python.sh
	@PYTHON="$(PYTHON)" VENV="$(VENV)" bash deploy/setup/python.sh
	@touch $@

demo: $(STAMP) ## the main job on the embedded defaults: a province settles, the ministry holds the same
	@bash deploy/setup/packages.sh openssl jq
	@$(PY) -m pipelines.lab.demo $(DEMO)

test: $(STAMP) ## sets up servers and browser where missing and runs the tests
	@bash deploy/setup/packages.sh openssl jq openssh-server postgresql npm chromium fonts-noto-cjk
	@bash deploy/setup/oracle-grammar.sh
	@PYTHON=$(PY) bash deploy/setup/other-databases.sh
	@bash deploy/setup/web-assets.sh --dev
	@$(PY) -m pytest -n 2 --dist loadfile -m "not long" $(TESTS)

test-long: $(STAMP) ## the tests that `make test` leaves out for their time
	@bash deploy/setup/packages.sh openssl jq openssh-server postgresql npm chromium fonts-noto-cjk
	@bash deploy/setup/web-assets.sh --dev
	@$(PY) -m pytest -n 2 --dist loadfile -m long $(TESTS)

test-protocol: $(STAMP) ## the acceptance table of the exchange, row by row: attack, expected, outcome
	@bash deploy/setup/packages.sh openssl jq openssh-server postgresql
	@HUB_EVERY_ROW=1 $(PY) -m pytest -n 2 --dist loadfile tests/acceptance

fuzz: $(STAMP) ## spoiled bytes into every reader, the state machine, random kills: ten minutes each; findings in .fuzz
	@$(PY) -m tests.fuzz $(FUZZ)
	@$(PY) -m tests.acceptance.long_machine $(FUZZ)
	@$(PY) -m tests.acceptance.random_kills --seconds 600 $(FUZZ)

check: $(STAMP) ## lint, format, types, import contracts, documents in step
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@PYTHONPATH=. $(VENV)/bin/lint-imports
	@$(PY) -m pytest -q tests/documents

serve: $(STAMP) ## both consoles and Dagster on loopback over a demo lab, one account per role
	@bash deploy/setup/packages.sh npm
	@bash deploy/setup/web-assets.sh
	@$(PY) -m pipelines.lab.serve

bench: $(STAMP) ## figures with their ratios against baselines of the same run
	@bash deploy/setup/packages.sh openssl openssh-server postgresql
	@$(PY) -m tests.bench $(BENCH)
	@$(PY) -m tests.bench.conflicts $(CONFLICTS)
	@$(PY) -m tests.bench.rules $(RULES)

lock: ## resolves requirements.lock anew; needs uv
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --no-emit-index-url --no-header \
	  --no-annotate --no-strip-extras --generate-hashes -o requirements.lock

clean: ## removes what these commands made
	rm -rf $(VENV) .demo .serve .bench .fuzz build *.egg-info
