# A thin front for people: the build itself is CMake (see CMakePresets.json). GNU make.
#
#   make demo [ARGS="--parties 3"]   install what is missing, build, run the demonstration; CHAIN=1: with a chain
#   make test                        install what is missing, build, run all tests
#   make help                        the rest
.PHONY: demo test deps mnist asan tsan ct fuzz install clean format format-check help
.DEFAULT_GOAL := help

JOBS ?= $(shell nproc 2>/dev/null || echo 2)
TEST_JOBS ?= 2
PREFIX ?= /usr/local
ARGS ?=

# $(call build,PRESET,OPTIONS)
build = cmake --preset $(1) && cmake --build build/$(1) --parallel $(JOBS) $(2)
# $(call ctest,PRESET,OPTIONS)
ctest = ctest --test-dir build/$(1) --output-on-failure --parallel $(TEST_JOBS) $(2) $(ARGS)

demo:
	@scripts/deps build $(if $(filter 1,$(CHAIN)),chain)
	@$(if $(filter 1,$(CHAIN)),scripts/fetch-npm anvil build/npm >/dev/null,true)
	@mkdir -p build && echo "Building (the log is in build/demo.log) ..."
	@{ $(call build,release); } >build/demo.log 2>&1 || { cat build/demo.log; exit 1; }
	@build/release/cli/consilium demo $(if $(filter 1,$(CHAIN)),--anvil "$$(scripts/fetch-npm anvil build/npm)") $(ARGS)

test:
	@scripts/deps test
	$(call build,dev)
	$(call ctest,dev)

deps:
	@scripts/deps test

mnist:
	@scripts/fetch-mnist

asan:
	@scripts/deps test
	$(call build,asan)
	$(call ctest,asan)

tsan:
	@scripts/deps test
	$(call build,tsan)
	$(call ctest,tsan)

# Secrets are marked undefined; valgrind reports every branch, index and message that depends on one.
ct:
	@scripts/deps ct
	$(call build,ct,--target ct_tests)
	$(call ctest,ct,-L '^ct$$')

fuzz:
	@scripts/deps fuzz
	$(call build,fuzz,--target fuzzers)
	$(if $(FUZZ_SECONDS),tests/fuzz/all build/fuzz $(FUZZ_SECONDS) $(TEST_JOBS),$(call ctest,fuzz,-L '^fuzz$$'))

install:
	@scripts/deps build
	$(call build,release)
	DESTDIR="$(DESTDIR)" cmake --install build/release --prefix "$(PREFIX)"

clean:
	rm -rf build

format:
	@scripts/format

format-check:
	@scripts/format --check

help:
	@echo "make demo          install what is missing, build, run the demonstration (ARGS=... are passed on)"
	@echo "make demo CHAIN=1  the same with the ledgers anchored on a development chain (from npm)"
	@echo "make test          install what is missing, build, run all tests"
	@echo "make deps          install what is missing, or say how"
	@echo "make mnist         fetch the public MNIST files into data/mnist"
	@echo "make asan | tsan   the tests with AddressSanitizer + UBSan, or with ThreadSanitizer"
	@echo "make ct            the constant-time and leak tests under valgrind"
	@echo "make fuzz          the fuzz targets on the same inputs each time, some seconds each (needs clang)"
	@echo "make fuzz FUZZ_SECONDS=600   on other inputs each time, for so long each"
	@echo "make install       install under PREFIX (default /usr/local)"
	@echo "make format        format the sources; make format-check only looks"
	@echo "make clean         remove build/"
