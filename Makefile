# SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
# A thin front to meson and the scripts. B is the build folder.
B ?= build
MESON_OPTIONS ?=

.PHONY: all setup demo check check-full check-asan check-tsan check-clang check-qemu11 bench fuzz install clean

all: $(B)/build.ninja
	@ninja -C $(B)

$(B)/build.ninja:
	@scripts/setup
	@meson setup $(B) $(MESON_OPTIONS)

setup:
	scripts/setup

demo: all
	scripts/demo

check: all
	tests/run

check-full: all
	tests/run --full

# Sanitizer and second-compiler builds run the unit tests and the fuzz corpora.
check-asan:
	@$(MAKE) all B=build/asan MESON_OPTIONS='-Db_sanitize=address,undefined -Db_lundef=false'
	tests/run --build build/asan --no-integration
check-tsan:
	@$(MAKE) all B=build/tsan MESON_OPTIONS='-Db_sanitize=thread -Db_lundef=false'
	TSAN_OPTIONS=suppressions=$(CURDIR)/tests/tsan.supp tests/run --build build/tsan --no-integration
check-clang:
	@CC=clang-14 $(MAKE) all B=build/clang
	tests/run --build build/clang --no-integration

check-qemu11: all
	scripts/setup --qemu11
	tests/run --only qemu11

bench: all
	bench/run

fuzz:
	fuzz/run

install: all
	meson install -C $(B)

clean:
	rm -rf $(B)
