# Yarrow. Two commands do everything on a fresh machine:
#   make run    build, start a demo practice on the embedded database, print its address and sign-ins
#   make test   everything that is tested, on both databases, with a browser
SHELL := /bin/bash
GO    ?= go
BIN   := bin/yarrow
STATIC := CGO_ENABLED=0
ARTEFACTS ?= $(CURDIR)/artefacts

.PHONY: run build assets gen test check drift staticcheck e2e conformance interop bench bench-api fuzz powercut mutants clean need need-test

run: build
	./$(BIN) demo

build: need assets
	$(STATIC) $(GO) build -trimpath -ldflags "-s -w -X main.version=$$(git describe --tags --always --dirty 2>/dev/null || echo dev)" -o $(BIN) ./cmd/yarrow

# What is missing is named with its remedy.
need:
	@scripts/need.sh build
need-test:
	@scripts/need.sh test

# Style sheets, scripts, icons and the font, from pinned packages into the folder that is embedded.
assets: need internal/web/ui/dist/manifest.json
WEB := $(shell find web -type f -not -path '*/node_modules/*' 2>/dev/null)
web/node_modules/.stamp: web/package-lock.json
	cd web && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
internal/web/ui/dist/manifest.json: web/node_modules/.stamp $(WEB)
	cd web && node build.mjs

# Generated code is committed; `make drift` fails when it is not what the generators give.
gen:
	$(GO) generate ./internal/...
	$(GO) tool templ generate -path internal -log-level error
drift:
	@$(GO) tool templ generate -path internal -log-level error
	@git diff --exit-code --stat -- '*_templ.go' || { echo "Generated files differ from their sources: run 'make gen' and commit the result."; exit 1; }

check: need drift
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "Not formatted (run gofmt -w): $$out"; exit 1; }
	$(GO) vet ./...
	$(GO) test -count=1 .
	@$(MAKE) --no-print-directory staticcheck
staticcheck:
	$(GO) tool -modfile=tools/go.mod staticcheck ./...

test: need-test assets check test/interop/node_modules/.package-lock.json
	YARROW_ARTEFACTS=$(ARTEFACTS) $(GO) test -timeout 25m ./...
	$(STATIC) $(GO) build -o $(BIN) ./cmd/yarrow
	@$(MAKE) --no-print-directory mutants
	YARROW_ARTEFACTS=$(ARTEFACTS) scripts/powercut.sh 3

e2e: need-test assets
	YARROW_ARTEFACTS=$(ARTEFACTS) $(GO) test -count=1 -v -timeout 20m ./test/e2e/...

# The questions of the certification kits, on both databases; writes docs/conformance.md and fails on a red row.
conformance: need-test assets
	$(GO) test -count=1 -timeout 40m ./test/conformance -run TestRows -engine both -write

# Other people's clients against the demonstration, and our engines against other people's.
interop: need-test assets test/interop/node_modules/.package-lock.json
	$(GO) test -count=1 -v -timeout 10m ./test/interop
test/interop/node_modules/.package-lock.json: test/interop/package-lock.json
	cd test/interop && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# Attacks on a running server: our own, and those of other people's tools (Debian packages testssl.sh, slowhttptest, sqlmap).
.PHONY: breakin testssl slowhttptest sqlmap
breakin: need-test assets
	$(GO) test -count=1 -v -timeout 20m ./test/breakin
testssl slowhttptest sqlmap: need
	scripts/attack.sh $@

# Timings live here, never in pass/fail tests; docs/performance.md says how to read them.
bench: need-test assets
	$(GO) test -run '^$$' -bench . -benchmem ./internal/... ./test/...

# The FHIR interface of a whole server against a bare one, on both databases; scripts/bench-api.sh says what can be set.
bench-api: need assets
	scripts/bench-api.sh

# The program is broken on purpose in some twenty places, and the tests that must notice are run; test/mutants/faults.txt.
mutants: need-test assets
	YARROW_MUTANTS=1 $(GO) test -count=1 -v -timeout 25m ./test/mutants -run TestFaultsAreNoticed

# The power of the disk is cut under a whole server, on both databases; CYCLES says how often.
CYCLES ?= 100
powercut: need-test assets
	$(STATIC) $(GO) build -o $(BIN) ./cmd/yarrow
	YARROW_POWERCUT=required scripts/powercut.sh $(CYCLES)

FUZZTIME ?= 20s
fuzz: need
	@set -e; for d in $$(grep -rl 'func Fuzz' --include=*_test.go internal | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -rhoE 'func Fuzz[A-Za-z0-9_]+' $$d | awk '{print $$2}' | sort -u); do \
	    echo "$$d $$f"; $(GO) test ./$$d -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME); done; done

clean:
	rm -rf bin artefacts internal/web/ui/dist/* web/node_modules && touch internal/web/ui/dist/.keep
