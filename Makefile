# `make demo` shows the main job, `make check` is for every change, `make test` checks everything.
# All need Python 3.11 or later and nothing else; what is missing they install into .venv.

SHELL := /bin/bash
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
  command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
  && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
# Tests start many processes, which would compile the package each time.
unexport PYTHONDONTWRITEBYTECODE
# Many tests wait for servers and browsers: more of them than cores run at once.
PYTEST_ARGS ?= -n 4 --dist worksteal
OLDEST_ARGS ?= $(PYTEST_ARGS)

.PHONY: demo check test lint types docs quick operations all-tests oldest-sqlalchemy soak fuzz packages audit \
  plugin plugin-test bench peers screenshots chaos outages \
  interleavings feed-kills clean

demo: $(VENV)/.demo
	$(BIN)/flask --app example_app woo demo $(ARGS)

# For every change: a few minutes on two cores.
check: lint types quick

# What has to pass before a change lands: about ten minutes on two cores; eight are the goal.
test:
	@$(MAKE) --no-print-directory -j 2 packages lint docs types operations \
	  $(VENV)-sqlalchemy20/.test
	@$(MAKE) --no-print-directory -j 2 --output-sync=line all-tests oldest-sqlalchemy \
	  OLDEST_ARGS="-n 0"

packages:
	tests/packages.sh

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/mypy

docs: $(VENV)/.test
	$(BIN)/sphinx-build -q -W -b html docs docs/_build/html

# Unit tests, and on SQLite those integration tests that start no process.
quick: $(VENV)/.test
	$(BIN)/python -m pytest $(PYTEST_ARGS) -p no:schemathesis tests/unit tests/integration \
	  -m "not slow and not postgresql and not mariadb and not browser"

# Every test but those of the API's description, which Schemathesis makes.
all-tests: $(VENV)/.test
	$(BIN)/python -m pytest $(PYTEST_ARGS) -p no:schemathesis --ignore tests/openapi --durations 20

operations: $(VENV)/.test
	$(BIN)/python -m pytest tests/openapi

# The companion plugin as a zip that WordPress installs, and its tests on a real WordPress, which
# `make test` runs too.
plugin:
	@$(PYTHON) wp-plugin-stub/build.py

plugin-test: packages $(VENV)/.test
	$(BIN)/python -m pytest tests/plugin

# SQLAlchemy 2.0 beside the current one: Flask-SQLAlchemy's users have both. On SQLite each of
# these files but clock executes statements that no other one does. On PostgreSQL and MariaDB clock,
# ledger, and the polls and webhooks of frozen show that the dialects do the same.
SQL := accounts analytics clock dispatch doubts frozen group_commit ledger migrations moving \
  notifications outbox polling reconcile records_api replay
# Tests of these files whose statements are all executed by others, too.
SAME_SQL := analytics_refuses or every_interval or invalid_where or ordinary_changes \
  or schedule_is_used or valid_headers
oldest-sqlalchemy: $(VENV)-sqlalchemy20/.test
	$(VENV)-sqlalchemy20/bin/python -m pytest $(OLDEST_ARGS) -p no:schemathesis -m "not slow" \
	  -k "(test_clock or test_frozen or test_ledger or not (postgresql or mariadb)) \
  and not ($(SAME_SQL))" \
	  $(SQL:%=tests/integration/test_%.py)

# The long forms: every scenario on every version, thousands of histories, kills and outages.
soak: packages $(VENV)/.test
	ALL_VERSIONS=1 EXAMPLES=16 $(BIN)/python -m pytest $(PYTEST_ARGS) tests/model \
	  tests/integration/test_prove.py tests/integration/test_edge_of_callbacks.py \
	  tests/integration/test_api_bad_input.py tests/integration/test_ledger.py \
	  tests/security/test_edge_of_requests.py tests/unit/woocommerce/test_paging.py \
	  tests/unit/sync/test_missing.py
	$(MAKE) fuzz interleavings feed-kills chaos outages

# More than 7,500 requests to the API on PostgreSQL, also in sequences that follow the links from
# one operation to another; prints how many were answered, by status.
fuzz: packages $(VENV)/.test
	EXAMPLES=16 $(BIN)/python -m pytest tests/openapi/soak.py tests/openapi/test_operations.py

# Asks an advisory service about every installed package; needs the network.
audit: $(VENV)/.test
	$(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/pip-audit --local --skip-editable

# Other pollers on the same acts; each is installed into an environment of its own below .peers.
peers: $(VENV)/.test
	$(BIN)/python -m benchmarks.peers $(ARGS)

# The pictures of the documentation, taken by the tests of the console.
screenshots: $(VENV)/.test
	WOO_SCREENSHOTS=1 $(BIN)/python -m pytest tests/console/test_looks.py

# More than a thousand kills in about an hour; CHAOS_SERIES='at random' selects some of them.
# RabbitMQ is killed, too, where Debian's rabbitmq-server is installed.
chaos: packages $(VENV)/.test
	$(BIN)/python -m tests.fault_injection.kill_series

# Every schedule of every two operations with at most two preemptions; half an hour for each
# database.
interleavings: packages $(VENV)/.test
	$(BIN)/python -m tests.interleavings
	$(BIN)/python -m tests.interleavings --on postgresql --sample 16
	$(BIN)/python -m tests.interleavings --on mariadb --sample 16

# A reader of a feed is killed 100 times while 10,000 events are written, on two databases.
feed-kills: packages $(VENV)/.test
	$(BIN)/python -m tests.fault_injection.feed_kills

# The database fails for a minute in several ways, and the power is cut; needs root.
outages: packages $(VENV)/.test
	$(BIN)/python -m tests.fault_injection.outages

bench: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --group benchmarks
	$(BIN)/python -m benchmarks

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed: set PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e .
	@touch $@

# Most modules of these packages are never imported: those that are get compiled then.
$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --no-compile -e . --group tests --group typing --group docs
	@touch $@ $(VENV)/.demo

# Everything but SQLAlchemy comes from the first environment: its packages follow in the path.
$(VENV)-sqlalchemy20/.test: $(VENV)/.test
	$(PYTHON) -m venv --without-pip $(VENV)-sqlalchemy20
	$(BIN)/python -m pip --python $(VENV)-sqlalchemy20/bin/python install --quiet \
	  'sqlalchemy>=2.0.31,<2.1'
	first=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	  second=$$($(VENV)-sqlalchemy20/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	  echo "import site; site.addsitedir('$$first')" > $$second/first.pth
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-sqlalchemy20 docs/_build
