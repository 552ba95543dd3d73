# make demo and make test are all a newcomer needs; `make help` lists the rest.
SHELL := /usr/bin/env bash
.DEFAULT_GOAL := help
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)

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
	$(CARGO) test --workspace --exclude e2e
	$(CARGO) test -p e2e --lib

.PHONY: e2e
e2e: ## End-to-end tests on the embedded host
	@hack/prerequisites.sh cargo cc protoc kubectl dig
	$(CARGO) build --workspace --bins
	$(CARGO) test -p e2e --test '*'

.PHONY: soak
soak: ## Hours of what `make test` tries for seconds: crashes, damage, concurrent histories
	@hack/prerequisites.sh cargo cc protoc etcd etcdctl postgres mariadbd
	SOAK=1 $(CARGO) test -p kine-shim --test suite -- --nocapture --test-threads 2

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
