# SPDX-License-Identifier: GPL-2.0
# The only entry: "make help" lists the targets.  What each does is in ci/.

export LINUX BASE_VERSION OUT JOBS VS SERIES FORCE TOPIC ONLY

.PHONY: help demo check check-full lint kunit selftest bench series topic check-topics bisect
.PHONY: tree refresh kernel fetch clean
.NOTPARALLEL:

help:
	@sed -n 's/^#: //p' Makefile

#: make demo      show on stock Debian 6.1 and on ours what fork() does to O_DIRECT reads
demo:
	@ci/deps demo && ci/demo

#: make check     run all tests; the last line is "N passed, N failed"
check:
	@ci/deps check && ci/check

#: make check-full the same, and all selftests with KASAN, kmemleak and faults: hours
check-full:
	@ci/deps check && ci/check full

#: make lint      what can be checked in seconds, without building a kernel
lint:
	@ci/deps check && ci/lint/lint quick

#: make kunit     KUnit on x86_64 under QEMU and on UML, RISC-V without an MMU; ARCH=i386|arm64|nommu|s390|um|x86_64: only there
kunit: tree
	@ci/test/kunit $(ARCH)

#: make selftest  the kselftests under QEMU, on Debian's stock kernel and on ours
selftest: tree
	@ci/test/selftest

#: make bench     count the instructions of direct I/O, stock and ours; VS=bzImage: a third kernel
bench: tree
	@ci/bench/bench

#: make series    export the patches to out/series/*.patch and out/series.mbox
series: tree
	@ci/series/export

#: make topic     T=nfs: export that topic with what it needs, as a series that can be sent
topic: tree
	@ci/series/topic $(T)

#: make check-topics  build and test each topic on nothing but what it needs: hours; T=nfs: one
check-topics: tree
	@ci/deps check && ci/test/check-topics $(T)

#: make bisect    compile each patch with W=1, sparse, gcc and clang: hours
bisect: tree
	@ci/deps check && ci/lint/lint-objects bisect

#: make tree      lay out out/linux: the base, and one commit per patch
tree: fetch
	@ci/series/tree

#: make refresh   write the commits of out/linux back to patches/6.1/ and the new files
refresh:
	@ci/series/refresh

#: make kernel    build out/guest/arch/x86/boot/bzImage
kernel: tree
	@ci/guest/kernel

#: make fetch     download the Debian source package that patches/6.1/base names
fetch:
	@ci/deps demo && ci/series/fetch

#: make clean     remove out/
clean:
	rm -rf out
#:
#: LINUX=DIR or LINUX=FILE.tar.xz   take another 6.1 tree as the base
#: BASE_VERSION=6.1.x-n             take this version of Debian's source package
#: SERIES=6.1                       the series, if it is not that of the Debian release
#: OUT=DIR                          build there instead of in out/
#: JOBS=N                           compile N files at a time
#: CCACHE_DIR=DIR                   compile by way of ccache, whose cache is in DIR
#: ONLY=PATTERN                     of selftest and kunit, run only what has such a name
#: KCC=clang                        compile the kernels by another compiler than gcc
