# `make test` and `make demo` work on a fresh Debian 12 as root; see README.md.
PYTHON := .venv/bin/python
SERVER ?=
PART ?=
KEEP ?=
CONFIG ?= config.toml

.PHONY: setup setup-lite test test-full test-matrix test-machines unit live lint demo pictures deb man run bench bench-check soak fuzz clean

setup:
	@tests/bootstrap/setup.sh

setup-lite:
	@tests/bootstrap/setup.sh --lite

# Linter, types and unit tests side by side, then the live tests.
test: setup
	@$(MAKE) --no-print-directory -j2 lint unit
	@$(MAKE) --no-print-directory live

lint: setup
	.venv/bin/ruff check component contrib sim tests packaging docs bench
	.venv/bin/ruff format --check component contrib sim tests packaging docs bench
	.venv/bin/mypy
	.venv/bin/mypy -p docs.pictures

unit: setup
	$(PYTHON) -m pytest -q tests --ignore tests/live -n 3 --dist worksteal

live: setup
	$(PYTHON) -m pytest -q -rs tests/live -n 4 --dist loadgroup --no-loadscope-reorder $(if $(SERVER),--server $(SERVER))

# PART: a part of tests/full.py, all by default.  SERVER as above.
test-full: setup
	$(PYTHON) -m tests.full $(PART) $(if $(SERVER),--server=$(SERVER))

test-matrix: setup
	@tests/bootstrap/newer.sh || echo "newer: not every suite could be had; see docs/lab/versions.md"
	$(PYTHON) -m tests.matrix $(if $(SERVER),--server $(SERVER))

# Debian machines, booted: the README's blocks to the letter (about 15 minutes; root, and space in
# .cache).  ARGS: for pytest, such as ARGS='-k prosody'; then nothing is written into docs/.
test-machines: setup
	$(PYTHON) -m tests.machines $(ARGS)

demo: setup-lite
	$(PYTHON) -m tests.demo $(if $(KEEP),--keep)

pictures: setup-lite
	@tests/bootstrap/pictures.sh
	$(PYTHON) -m docs.pictures.make

deb:
	@packaging/build-deb.sh

man: setup-lite
	$(PYTHON) packaging/man.py

# ARGS: see `python -m bench --help`. The other parts of docs/lab/performance.md have commands of their own.
bench: setup
	@$(PYTHON) -c 'import matplotlib' 2>/dev/null || \
		$(PYTHON) -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	$(PYTHON) -m bench $(if $(SERVER),--server $(SERVER)) $(ARGS)

bench-check: setup
	$(PYTHON) -m bench.check $(if $(SERVER),--server $(SERVER))

# MINUTES, RATE (moves a second), SERVER, RESTART_EVERY (seconds, 0: never).
soak: setup
	@$(PYTHON) -c 'import matplotlib' 2>/dev/null || \
		$(PYTHON) -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	$(PYTHON) -m bench.soak --minutes $(or $(MINUTES),120) --rate $(or $(RATE),20) \
		--server $(or $(SERVER),prosody-0.12) --restart-every $(or $(RESTART_EVERY),600) \
		--docs docs/lab

# MINUTES, TARGET (tests/fuzz/targets.py); guided by coverage where atheris can be had.
fuzz: setup
	@$(PYTHON) -c 'import atheris' 2>/dev/null || \
		$(PYTHON) -m pip install --quiet --disable-pip-version-check -e '.[fuzz]' || true
	nice -n 19 $(PYTHON) -m tests.fuzz --minutes $(or $(MINUTES),60) \
		$(if $(TARGET),--target $(TARGET))

run: setup-lite
	$(PYTHON) -m component --config $(CONFIG) run

clean:
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find component contrib sim tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
