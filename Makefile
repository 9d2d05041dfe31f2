TOOL  := go tool -modfile=tools/go.mod
COUNT ?= 20

.DEFAULT_GOAL := help
.PHONY: help test unit lint fmt bench soak

help: ## list what make can do
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: lint ## check everything as CI does: lint, then all tests with real services, which it starts and ends
	@scripts/test

unit: ## run the tests that need no service; ends with a list of what was skipped
	@env -u CI $(TOOL) gotestsum --format pkgname --format-hide-empty-pkg -- -shuffle=on ./...

lint: ## check formatting, style, dead code and go.mod, and that macOS and Windows compile
	@go mod tidy -diff
	@$(TOOL) golangci-lint run
	@dead=$$($(TOOL) deadcode -test ./...) && test -z "$$dead" || { echo "no program, test or example reaches:"; echo "$$dead"; exit 1; }
	@GOOS=darwin go vet ./...
	@GOOS=windows go vet ./...
	@for module in bench interop; do (cd $$module && go mod tidy -diff && go vet ./...) || exit 1; done

fmt: ## format all Go files
	@$(TOOL) golangci-lint fmt

bench: ## compare with the raw clients, then run all benchmarks six times into bench.out; services stay up
	@scripts/services up --install
	@eval "$$(scripts/services env)" && cd bench && go run . \
		-nats "$$TIDINGS_TEST_NATS_URL" -nats-pid "$$(cat ../.services/nats/pid 2>/dev/null || echo 0)" \
		-kafka "$$TIDINGS_TEST_KAFKA_URL" -kafka-pid "$$(cat ../.services/kafka/pid 2>/dev/null || echo 0)" \
		-postgres "$$TIDINGS_TEST_POSTGRES_URL" -postgres-pid "$$(cat ../.services/postgres/pid 2>/dev/null || echo 0)"
	@go test -run='^$$' -bench=. -benchmem -count=6 ./... >bench.out || { cat bench.out; exit 1; }
	@$(TOOL) benchstat bench.out

soak: ## run all tests COUNT times (20) with full counts, to find the ones that fail now and then; PKG=./broker/... for some
	@TIDINGS_TEST_SOAK=true PKG="$(PKG)" scripts/test -count=$(COUNT) -timeout=6h
