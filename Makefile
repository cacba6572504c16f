# The usual entry points. `make test` is everything that CI runs.
PREFIX ?= /usr/local
export PREFIX

.PHONY: build release test check lint bench fuzz install uninstall clean

build:
	swift build

release:
	swift build -c release --static-swift-stdlib --product larder

test:
	mount-scripts/test

# Quick: warnings as errors, scripts, and the tests that need no mount.
check: lint
	CI=true swift build --build-tests
	CI=true swift test --skip-build --skip EndToEndTests

lint:
	shellcheck -x -P mount-scripts .ci/run $$(grep -lE -d skip '^#!/bin/(ba)?sh|shellcheck shell=' mount-scripts/*)

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
