# make demo   sets everything up and starts the page
# make test   sets everything up and runs all tests
# make help   lists the rest; ARGS="..." is passed on, as in: make demo ARGS="--port 7870"

VENV   := .venv
PY     := $(VENV)/bin/python
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$name"; break; }; done)
ARGS   ?=

.PHONY: help setup demo test test-fast lint format bench load
.DEFAULT_GOAL := help

help:
	@echo "make demo     set up and start the page"
	@echo "make test     set up and run all tests"
	@echo "make test-fast  the quick tests of single modules, three minutes"
	@echo "make setup    create .venv and install what the page needs; nothing happens the second time"
	@echo "make lint     formatting, lint, types and layers"
	@echo "make format   put the code into its format"
	@echo "make bench    time the four jobs on this machine"
	@echo "make load     many clients at once on this machine: throughput, waiting, errors, memory (about half an hour)"
	@echo 'ARGS="..."    is passed on, as in: make demo ARGS="--port 7870"'

setup: $(VENV)/.setup-done

demo: setup
	@$(PY) app.py $(ARGS)

# files side by side; a page that is watched in a browser has the machine to itself
test: $(VENV)/.setup-dev-done
ifeq ($(strip $(ARGS)),)
	@$(PY) -m pytest -n logical --maxprocesses 4 --dist loadfile --ignore tests/browser
	@$(PY) -m pytest tests/browser
else
	@$(PY) -m pytest $(ARGS)
endif

test-fast: $(VENV)/.setup-dev-done
	@$(PY) -m pytest -n logical --maxprocesses 4 --dist loadfile -m "not slow" tests/unit

lint: $(VENV)/.setup-dev-done
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	@PYTHONPATH=. $(VENV)/bin/lint-imports --no-logo

format: $(VENV)/.setup-dev-done
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

bench: setup
	@$(PY) -m mmdemo benchmark $(ARGS)

load: setup
	@$(PY) -m scripts.load $(ARGS)

# ---------------------------------------------------------------- installing, once per change of the requirements

$(PY):
	@if [ -z "$(PYTHON)" ]; then \
		echo "mmdemo needs Python 3.11 or newer and found none. Install one, or name it: make PYTHON=/path/to/python3.12 ..." >&2; \
		exit 1; \
	fi
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "mmdemo needs Python 3.11 or newer; $(PYTHON) is older. Name another: make PYTHON=/path/to/python3.12 ..." >&2; \
		exit 1; \
	}
	@"$(PYTHON)" -m venv $(VENV) || { \
		rm -rf $(VENV); \
		echo "No virtual environment could be made; on Debian and Ubuntu: apt-get install python3-venv" >&2; \
		exit 1; \
	}

# the interpreter is an order-only prerequisite: what matters is that it is there, not how old it is
$(VENV)/.setup-done: requirements.txt | $(PY)
	$(PY) -m pip install --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.setup-dev-done: requirements-dev.txt $(VENV)/.setup-done
	$(PY) -m pip install --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	@touch $@
