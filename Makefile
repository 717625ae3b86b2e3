# The face of the build; the work is done by CMake (CMakePresets.json), Ninja and the scripts in tools/.
prefix ?= /usr/local
suite = ctest --output-on-failure -j2 -LE 'long|gpu'

.PHONY: help build demo demo-real test lint install asan tsan hostile fuzz format bench clean
help:
	@echo "make build     build/release/assay (installs missing packages first)"
	@echo "make demo      train the built-in tiny model and show it before and after"
	@echo "make demo-real fetch SmolLM2-135M-Instruct, teach it the multiplication table, show it before and after"
	@echo "make test      the default tests, under 5 minutes on two cores"
	@echo "make lint      format, layers, sizes, banned functions, in seconds"
	@echo "make install   into prefix (default /usr/local), under DESTDIR if given"
	@echo "make asan      unit tests under AddressSanitizer and UBSan"
	@echo "make tsan      unit tests under ThreadSanitizer"
	@echo "make hostile   unit tests with failing allocations and writes, and tiny blocks"
	@echo "make fuzz      every fuzz target for 60 s (seconds=N for another time)"
	@echo "make bench     build/release/assay bench"
	@echo "make format    clang-format in place"
	@echo "make clean     remove build/"

build:
	@tools/deps.sh
	@test -f build/release/build.ninja || cmake --preset release
	@cmake --build --preset release --target assay assay_archive

demo: build
	@tools/demo.sh

demo-real: build
	@tools/demo-real.sh

test: build
	@cmake --build --preset release
	@cd build/release && $(suite)

lint:
	@tools/deps.sh --dev
	@tools/lint.sh

install: build
	@cmake --install build/release --prefix '$(prefix)'

asan tsan hostile:
	@tools/deps.sh
	@cmake --preset $@ && cmake --build --preset $@
	@cd build/$@ && $(suite) -L 'unit|grad|fuzz'

seconds ?= 60
fuzz:
	@tools/deps.sh --dev
	@tools/fuzz.sh $(seconds)

bench: build
	@build/release/assay bench

format:
	@tools/deps.sh --dev
	@git -c safe.directory='*' ls-files '*.c' '*.h' | xargs clang-format-14 -i

clean:
	@rm -rf build
