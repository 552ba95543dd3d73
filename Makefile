# make demo and make test are all a newcomer needs; `make help` lists the rest.
SHELL := /usr/bin/env bash
.DEFAULT_GOAL := help
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
PARITY_DIR ?= ../shared/parity
# Tests are chosen by name in the whole workspace, never by package: so all of them are built with one set of features,
# and nothing is compiled twice.
test_names = $(notdir $(patsubst %/,%,$(patsubst %.rs,%,$(1:%/main.rs=%/))))
INTEGRATION := $(call test_names,$(filter-out e2e/%,$(wildcard */tests/*.rs */tests/*/main.rs libs/*/tests/*.rs)))
E2E := $(call test_names,$(wildcard e2e/tests/*.rs e2e/tests/*/main.rs))

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: demo
demo: ## Start a playground, run the examples in a virtual cluster and show both sides
	@hack/prerequisites.sh cargo cc protoc kubectl dig
	$(CARGO) build --workspace --bins
	@VCLUSTER=$(TARGET)/debug/vcluster hack/demo.sh

.PHONY: down
down: ## Stop the playground that `make demo` left running
	$(TARGET)/debug/vcluster playground down

.PHONY: test
test: fmt-check lint unit e2e ## Formatting, lints, unit, property and end-to-end tests

.PHONY: unit
unit: ## Unit and property tests
	@hack/prerequisites.sh cargo cc protoc etcd etcdctl postgres mariadbd
	$(CARGO) test --workspace --lib --bins $(INTEGRATION:%=--test %)
	$(CARGO) test --workspace --doc

.PHONY: e2e
e2e: ## End-to-end tests on the embedded host
	@hack/prerequisites.sh cargo cc protoc kubectl dig python3 python3-venv
	@CARGO_TARGET_DIR=$(TARGET) hack/python-client.sh
	@CARGO_TARGET_DIR=$(TARGET) hack/go-clients.sh
	$(CARGO) build --workspace --bins --tests
	$(CARGO) test --workspace $(E2E:%=--test %)

.PHONY: soak
soak: ## Hours of what `make test` tries for seconds: crashes, damage, concurrent histories, faulty servers
	@hack/prerequisites.sh cargo cc protoc etcd etcdctl postgres mariadbd
	SOAK=1 $(CARGO) test -p kine-shim --test suite -- --nocapture --test-threads 2
	$(CARGO) build --workspace --bins
	SOAK=1 $(CARGO) test -p e2e --test convergence -- --nocapture

.PHONY: fuzz
fuzz: ## libFuzzer on one decoder until it finds something: TARGET=json ARGS="-max_total_time=60"
	@hack/prerequisites.sh cargo cc c++ protoc cargo-fuzz
	@[ -e fuzz/fuzz_targets/$(TARGET).rs ] || { echo "TARGET= one of:" $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs))); exit 2; }
	@mkdir -p fuzz/corpus/$(TARGET)
	$(CARGO) run -q -p decoders --example seeds -- $(TARGET) fuzz/corpus/$(TARGET)
	@cp Cargo.lock fuzz/Cargo.lock
	$(CARGO) fuzz run --sanitizer none $(TARGET) -- -rss_limit_mb=512 -timeout=10 $(ARGS)

.PHONY: build
build: ## All binaries, optimised, in target/release
	@hack/prerequisites.sh cargo cc protoc
	$(CARGO) build --workspace --bins --release

.PHONY: bench
bench: build ## Cold start, memory, 500 pods: prints a table
	$(CARGO) run --release -p e2e --bin bench

.PHONY: bench-store
bench-store: ## The store beside etcd and kine: prints a table; ARGS="--quick" for a short run
	@hack/prerequisites.sh cargo cc protoc etcd
	$(CARGO) build --release -p kine-shim --bin kine-shim --example bench-store
	@CARGO_TARGET_DIR=$(TARGET) hack/bench-store.sh $(ARGS)

.PHONY: parity
parity: ## The API server beside recorded exchanges of a real one in PARITY_DIR; ARGS="--suite apply" for some of them
	@hack/prerequisites.sh cargo cc protoc python3 openssl
	$(CARGO) build -p apiserver -p kine-shim --bins
	@$(CARGO) run -q -p e2e --example parity -- --dir $(PARITY_DIR) $(ARGS)

.PHONY: bench-api
bench-api: ## The API server beside a kube-apiserver (KUBE_APISERVER=FILE) or an older one (ARGS="--before FILE")
	@hack/prerequisites.sh cargo cc protoc etcd
	$(CARGO) build --release -p apiserver -p kine-shim --bins
	$(CARGO) build --release -p e2e --example bench-api
	@$(TARGET)/release/examples/bench-api $(ARGS)

.PHONY: bench-sync
bench-sync: ## The syncer between two API servers: latency, bursts, requests, memory; ARGS="--quick" for a short run
	@hack/prerequisites.sh cargo cc protoc
	$(CARGO) build --release -p apiserver -p kine-shim -p syncer --bins
	$(CARGO) build --release -p e2e --example bench-sync
	@$(TARGET)/release/examples/bench-sync $(ARGS)

.PHONY: fmt
fmt: ## Format the code
	$(CARGO) fmt --all

.PHONY: fmt-check
fmt-check:
	$(CARGO) fmt --all --check

.PHONY: lint
lint: ## Clippy with warnings as errors
	@hack/prerequisites.sh cargo cc protoc
	$(CARGO) clippy --workspace --all-targets -- -D warnings
