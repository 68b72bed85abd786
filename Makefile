# pgmq: build, install, test. `make help` is the index.
# Building needs make, sh and awk; testing also python3 and a package index; installing, a pg_config.

EXTENSION := pgmq
# PGXS overwrites a variable called VERSION.
EXTVERSION := $(shell awk -F"'" '/^default_version/ { print $$2 }' $(EXTENSION).control)
EXTCOMMENT := $(shell awk -F"'" '/^comment/ { print $$2 }' $(EXTENSION).control)
# The versions that ALTER EXTENSION pgmq UPDATE starts from.
UPGRADES := 1.13.0 1.13.1 2.0.0

PLAIN := build/$(EXTENSION).sql
TLE := build/$(EXTENSION).tle.sql
VERSIONED := build/$(EXTENSION)--$(EXTVERSION).sql \
	$(foreach v,$(UPGRADES),build/$(EXTENSION)--$(v)--$(EXTVERSION).sql)
# Those of versions that this tree does not build.
STALE = $(filter-out $(VERSIONED),$(wildcard build/$(EXTENSION)--*.sql))
# What a release has beside what python/tools/dist.py makes.
DIST := $(patsubst %,build/dist/$(EXTENSION)-$(EXTVERSION).%,sql tle.sql)
SOURCES := $(shell find extension -type f -name '*.sql' 2>/dev/null)

PYTHON ?= python3
BIN := .venv/bin
SQL_LINTED := extension tests/regress/sql
PY_LINTED := python tests
# More workers than cores, since many tests wait. Work is stolen rather than dealt out, so that a
# module's fixtures are rarely made twice. TESTS='tests/model' is for some of them.
WORKERS = $(shell $(PYTHON) -c 'import os; print(os.cpu_count() * 3 // 2)')
PYTEST = -n $(WORKERS) --dist worksteal -q $(TESTS)

.DEFAULT_GOAL := build
.DELETE_ON_ERROR:

.PHONY: help all build test test-matrix suites lint lint-sql lint-python sync bench plots docs rendered demo demo-stop soak clean

build: $(PLAIN) $(TLE) $(VERSIONED) build/$(EXTENSION).control ## Write build/pgmq.sql, pgmq.tle.sql and the extension's scripts
	@$(if $(STALE),rm -f $(STALE))

$(PLAIN): START := extension/install.sql
$(TLE): START := extension/tle.sql
$(PLAIN) $(TLE): $(SOURCES) extension/expand.awk $(EXTENSION).control Makefile
	@mkdir -p build
	@awk -v start=$(START) -v version=$(EXTVERSION) -v upgrades='$(UPGRADES)' -v comment='$(EXTCOMMENT)' \
		-f extension/expand.awk > $@.tmp && mv $@.tmp $@

$(VERSIONED): $(PLAIN) extension/guard.sql $(EXTENSION).control
	@cat extension/guard.sql $(PLAIN) > $@.$$$$ && mv $@.$$$$ $@

build/$(EXTENSION).control: $(EXTENSION).control
	@mkdir -p build
	@cp $< $@

ifneq ($(filter install uninstall installcheck installdirs,$(MAKECMDGOALS)),)
# Only now is a pg_config asked for. `make help` shows these targets by the comments here:
# install: ## Install the extension into a Postgres (PG_CONFIG=...)
# uninstall: ## Remove it again (PG_CONFIG=...)
# installcheck: ## Run tests/regress on an installed, running server (PG_CONFIG=... PGHOST=...)
PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq ($(PGXS),)
$(error $(PG_CONFIG) does not run; name the one of your Postgres: make install PG_CONFIG=/path/to/pg_config)
endif
ifneq ($(wildcard $(PGXS)),)
DATA_built := $(VERSIONED)
REGRESS := $(sort $(notdir $(basename $(wildcard tests/regress/sql/*.sql))))
REGRESS_OPTS := --inputdir=tests/regress --outputdir=build/regress --load-extension=$(EXTENSION)
include $(PGXS)
else
# A server without what extensions in C are built with: to install is to copy.
INSTALLED := build/$(EXTENSION).control $(VERSIONED)
SHARED = $(DESTDIR)$(shell $(PG_CONFIG) --sharedir)/extension

install: $(INSTALLED)
	install -d '$(SHARED)'
	install -m 644 $(INSTALLED) '$(SHARED)'

uninstall:
	rm -f $(patsubst build/%,'$(SHARED)/%',$(INSTALLED))

installcheck installdirs:
	@echo '$(PGXS) is missing. Install the package that has it:' >&2
	@echo 'postgresql-server-dev-NN on Debian and Ubuntu, postgresqlNN-devel on Red Hat.' >&2
	@exit 2
endif
else

all: build

.venv/.stamp: python/pyproject.toml
	@echo 'Setting up .venv (about 20 seconds)'
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install -qq --disable-pip-version-check --editable 'python[dev]'
	@touch $@

test: build .venv/.stamp ## Run the tests (PGMQ_DSN=... on a server you name, TESTS=..., ARGS=... to pytest)
	@$(BIN)/python -m pytest $(or $(ARGS),$(PYTEST))

test-matrix: build .venv/.stamp ## Run them on each Postgres of VERSIONS (14 15 16 17 18; ARGS=... to pytest)
	@$(BIN)/python python/tools/matrix.py '$(or $(VERSIONS),14 15 16 17 18)' $(or $(ARGS),$(PYTEST))

suites: build .venv/.stamp ## Run the tests of other projects that use pgmq (SUITES='pgmq-py=DIRECTORY', ARGS)
	@$(BIN)/python python/tools/suites.py $(SUITES) $(ARGS)

lint: lint-sql lint-python ## Check the SQL and Python sources (at the same time: make -j2 lint)

lint-sql: build .venv/.stamp
	@$(BIN)/sqlfluff lint --disable-progress-bar $(SQL_LINTED)
	@$(BIN)/python python/tools/check_bodies.py

lint-python: build .venv/.stamp
	@$(BIN)/ruff check --quiet $(PY_LINTED)
	@$(BIN)/ruff format --quiet --check $(PY_LINTED)
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/basedpyright --project tests/typing --pythonpath $(BIN)/python > build/pyright || { cat build/pyright; exit 1; }
	@$(BIN)/python python/tools/sync.py --check

sync: .venv/.stamp ## Make the synchronous Python sources of the asynchronous ones
	@$(BIN)/python python/tools/sync.py

docs: build .venv/.stamp ## Write extension/docs/REFERENCE.md from the catalog
	@$(BIN)/python python/tools/reference.py > build/REFERENCE.md
	@mv build/REFERENCE.md extension/docs/REFERENCE.md

rendered: build .venv/.stamp ## Write the SQL of each kind of queue to build/rendered, of some to tests/rendered
	@$(BIN)/python python/tools/rendered.py

.PHONY: screenshots
screenshots: build .venv/.stamp ## Take the pictures of python/docs/web.md, with Debian's chromium and chromium-driver
	@$(BIN)/python python/tools/screenshots.py

demo: build .venv/.stamp ## Hash every file below DIR=... with four workers, one of them killed
	@$(BIN)/python -m pgmq.demo $(if $(DIR),--dir "$$DIR") $(ARGS)

demo-stop: .venv/.stamp ## Stop the demo's server and remove it
	@$(BIN)/python -m pgmq.demo --stop

.venv/.bench: .venv/.stamp
	@$(BIN)/pip install -qq --disable-pip-version-check --editable 'python[bench]'
	@touch $@

bench: build .venv/.bench ## Measure beside upstream and other queues (QUICK=1 within 5 minutes, else an hour)
	@$(BIN)/python tests/benchmark/run.py $(if $(QUICK),--quick) $(ARGS)

plots: .venv/.bench ## Draw the plots of the results in tests/benchmark/results again
	@for run in tests/benchmark/results/*/results.json; do \
		$(BIN)/python tests/benchmark/plots.py $$run $${run%/*} || exit; done

soak: build .venv/.stamp ## Everything at once under kills, for an hour or SECONDS=120, MINUTES=5 (SEED=...)
	@$(BIN)/python tests/soak/run.py --seconds $(or $(SECONDS),$$(($(or $(MINUTES),60) * 60))) \
		$(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: dist release-check
build/dist/$(EXTENSION)-$(EXTVERSION).%: build/$(EXTENSION).%
	@mkdir -p build/dist
	@cp $< $@

dist: build $(DIST) .venv/.stamp ## Write what a release consists of to build/dist
	@$(BIN)/python python/tools/dist.py build/dist $(DIST)

release-check: .venv/.stamp ## Refuse what is not committed, unequal versions, an undated changelog
	@$(BIN)/python python/tools/release.py

clean: ## Remove build/ and caches (not .venv)
	@rm -rf build .cache
	@find python tests -name __pycache__ -type d -prune -exec rm -rf {} +

endif

help: ## Show this list
	@awk -F': ?[^#]*## ' '/^(# )?[a-z-]+:.*## / \
		{ sub(/^# /, "", $$1); sub(/:.*/, "", $$1); printf "  make %-14s %s\n", $$1, $$2 }' Makefile
