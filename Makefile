# The front door. `make serve` and `make test` do all the set-up on a fresh Debian 12 machine, as root.
PRESET ?= release
JOBS ?= $(shell nproc)

.PHONY: help serve test check build setup bench format tidy clean

help:
	@echo "make serve    install what is needed, build, start the server on the sample models"
	@echo "make test     install what is needed, check the style, build, run every test"
	@echo "make check    run the tests again under sanitizers, and the fuzzers"
	@echo "make build    build build/$(PRESET)/penstock (PRESET=release|debug|asan|tsan|fuzz)"
	@echo "make bench    measure; prints the table of docs/performance.md"
	@echo "make format   format the sources;  make tidy   check the style"

serve:
	@tools/setup/install serve
	@$(MAKE) --no-print-directory build TARGETS="penstock backends"
	@tools/serve

test:
	@tools/setup/install test
	@tools/ci style release

check:
	@tools/setup/install test
	@tools/ci asan tsan fuzz

build:
	@echo "== building build/$(PRESET)"
	@test -f build/$(PRESET)/build.ninja || cmake --preset $(PRESET) > /dev/null
	@ninja -C build/$(PRESET) -j $(JOBS) $(TARGETS)

setup:
	@tools/setup/install test

bench:
	@tools/setup/install bench
	@bench/run

format:
	@git ls-files '*.h' '*.hpp' '*.cc' | xargs clang-format-16 -i

tidy:
	@tools/tidy

clean:
	rm -rf build
