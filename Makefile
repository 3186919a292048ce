# Everything that a developer or CI does, one target each.
SHELL := /bin/bash
.DEFAULT_GOAL := help

GO        ?= go
TOOL      := $(GO) tool -modfile=.ci/tools.mod
FUZZTIME  ?= 20s
BENCHTIME ?= 2s

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install what the tests need (redis-server, compilers, XML-RPC clients), or name what is missing
	@.ci/setup

.PHONY: build
build: ## Build bin/trackgate
	$(GO) build -trimpath -o bin/trackgate ./cmd/trackgate

.PHONY: test
test: setup ## Pass all tests: unit, race, real Redis, real clients
	$(GO) vet ./...
	$(GO) test -race -timeout 20m ./...

.PHONY: lint
lint: ## Check the code with golangci-lint
	$(TOOL) golangci-lint run ./...

.PHONY: bench
bench: setup ## Measure minting and handshakes on both stores beside a bare handler
	$(GO) test ./integration -run '^$$' -bench Gateway -benchtime 1x -timeout 20m -args -load $(BENCHTIME)

.PHONY: bench-scale
bench-scale: setup ## Measure up to ten million tokens, expiry, CPU time and events, and draw docs/scale.svg
	$(GO) test ./integration -run '^$$' -bench '^BenchmarkScale$$' -benchtime 1x -timeout 90m -args -scale-tsv $(CURDIR)/docs/scale.tsv
	$(GO) run ./integration/scale < docs/scale.tsv > docs/scale.svg

.PHONY: fuzz
fuzz: ## Fuzz every parser for FUZZTIME (default 20s) each
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; done

.PHONY: run
run: ## Run the gateway with its defaults
	$(GO) run ./cmd/trackgate serve
