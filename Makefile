# nat-lb: make install | demo | test | test-fast | lint | docs | bench | fuzz | clean
#
# As root on Debian, what is missing is installed through apt; as a user you are told what is missing, and demo and
# test run as root of a user namespace.

.NOTPARALLEL:

PYTHON   := $(shell command -v python3.11 || command -v python3)
BIN      := .venv/bin
DISTS    := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml helpers/*/pyproject.toml))
EXAMPLES := $(patsubst %/pyproject.toml,%,$(wildcard docs/examples/*/pyproject.toml))
STAMP    := .venv/.installed

.PHONY: install demo test test-fast lint docs bench fuzz clean build-packages lab-packages bench-packages

install: build-packages lab-packages-if-root $(STAMP)

demo: build-packages lab-packages $(STAMP)
	scripts/as-root $(BIN)/nat-lb demo

test: lint lab-packages ftp-servers
	scripts/as-root $(BIN)/pytest -m "not live" -n 2 --dist loadfile
	scripts/as-root $(BIN)/pytest -m live
	if [ "$$(id -u)" = 0 ]; then $(MAKE) test-fast; fi

# Live tests again, with the fast path.  All of them: make test-fast LIVE=
LIVE := $(addprefix tests/live/test_,$(addsuffix .py,http udp icmp fragments refusals reload control h323 pptp))
test-fast: lab-packages ftp-servers $(STAMP)
	$(BIN)/pytest -m live --datapath ebpf $(LIVE)

lint: build-packages $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy nat_lb tests
	for dist in $(DISTS) $(EXAMPLES); do MYPYPATH=$$dist/src:$$dist $(BIN)/mypy $$dist || exit 1; done
	$(BIN)/lint-imports

docs: build-packages $(STAMP)
	$(BIN)/mkdocs build --strict

bench: build-packages lab-packages bench-packages $(STAMP)
	scripts/as-root $(BIN)/python -m tests.bench $(ARGS)

fuzz: build-packages $(STAMP)
	nice -n 10 $(BIN)/python -m tests.bench.fuzz $(ARGS)

clean:
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# Core, every plugin and every helper, editable, in one resolution: each is found here and not on an index.
# What is compiled for the kernel is compiled again when its sources change.
$(STAMP): pyproject.toml $(addsuffix /pyproject.toml,$(DISTS)) $(wildcard plugins/*/src/*/bpf/*.[ch])
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[dev]' $(foreach dist,$(DISTS),--editable $(dist))
	touch $@

build-packages lab-packages bench-packages: %-packages:
	@PYTHON=$(PYTHON) scripts/system-packages install $*

.PHONY: ftp-servers
ftp-servers:
	@scripts/unpack-packages build/peers pure-ftpd proftpd-core

.PHONY: lab-packages-if-root
lab-packages-if-root:
	@if [ "$$(id -u)" = 0 ]; then scripts/system-packages install lab; fi
