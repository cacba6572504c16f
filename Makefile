# The usual entry points. `make test` is everything that CI runs.
PREFIX ?= /usr/local
export PREFIX

.PHONY: build release test check bench fuzz install uninstall clean

build:
	swift build

release:
	swift build -c release --static-swift-stdlib --product larder

test:
	mount-scripts/test

# Quick: warnings as errors, scripts, and the tests that need no mount.
check:
	shellcheck -x -P SCRIPTDIR mount-scripts/common.sh mount-scripts/installed.sh mount-scripts/install mount-scripts/uninstall \
		mount-scripts/packages mount-scripts/quickstart mount-scripts/test mount-scripts/toolchain mount-scripts/mount.larder
	CI=true swift build --build-tests
	CI=true swift test --skip-build --skip EndToEndTests

bench:
	$(MAKE) -C Benchmarks run

fuzz:
	$(MAKE) -C Fuzz run

install:
	mount-scripts/install

uninstall:
	mount-scripts/uninstall

clean:
	swift package clean
	rm -rf Fuzz/bin
