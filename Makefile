# SPDX-License-Identifier: GPL-2.0
# "make help" lists the targets.  Each of them is a script in ci/.

export LINUX BASE_VERSION OUT JOBS VS SERIES FORCE TOPIC JUNIT FLAVOUR CONFIG TOPICS DEBUG_INFO ONLY MINUTES
export LTP XFSTESTS BLKTESTS LIBURING TESTS FULL LIMIT BASE KERNEL

.PHONY: help demo check check-full lint kunit selftest bench results series topic check-topics bisect
.PHONY: tree refresh kernel fetch bases deb trial abi suites clean
.NOTPARALLEL:

help:
	@sed -n 's/^#: //p' Makefile

#: make demo      show what fork() does to O_DIRECT reads, on Debian's kernel and on ours
demo:
	@ci/deps demo && ci/demo

#: make check     run all tests; the last line is "N passed, N failed"
check:
	@ci/deps check && ci/check

#: make check-full the same, and all selftests with KASAN, kmemleak and faults: hours
check-full:
	@ci/deps check && ci/check full

#: make lint      check all that needs no kernel build, in seconds
lint:
	@ci/deps check && ci/lint/lint quick

#: make kunit     KUnit on x86_64 under QEMU and on UML, RISC-V without an MMU; ARCH=i386|arm64|nommu|s390|um|x86_64: only there
kunit: tree
	@ci/test/kunit $(ARCH)

#: make selftest  the kselftests under QEMU, on Debian's kernel and on ours
selftest: tree
	@ci/test/selftest

#: make bench     count the instructions of direct I/O, of the base and of ours; VS=bzImage: a third kernel
bench: tree
	@ci/bench/bench

#: make results   write docs/results.md from the logs of these
results:
	@ci/test/results

#: make series    export the patches to out/series/*.patch and out/series.mbox
series: tree
	@ci/series/export

#: make topic     T=nfs: export that topic with the topics that it needs, ready to send
topic: tree
	@ci/series/topic $(T)

#: make check-topics  build and test each topic on the topics that it needs: hours; T=nfs: one
check-topics: tree
	@ci/deps check && ci/test/check-topics $(T)

#: make bisect    compile each patch with W=1, sparse, gcc and clang: hours
bisect: tree
	@ci/deps check && ci/lint/lint-objects bisect

#: make tree      lay out out/linux: the base, and one commit per patch
tree: fetch
	@ci/series/tree

#: make refresh   write the commits of out/linux back to patches/SERIES/ and the new files
refresh:
	@ci/series/refresh

#: make kernel    build out/guest/arch/x86/boot/bzImage
kernel: tree
	@ci/guest/kernel

#: make deb       build Debian packages; FLAVOUR=amd64|cloud-amd64, CONFIG=FILE, TOPICS="fixes nfs"
deb: tree
	@ci/deps deb && ci/package/deb

#: make trial     install these packages into a Debian, boot it, and run MariaDB, fio and DKMS modules there; FLAVOUR=
trial: tree
	@ci/deps trial && ci/package/trial

#: make abi       compare what the base and ours offer to modules, in docs/abi.md; FLAVOUR=, CONFIG=FILE|matrix, BUILT=deb
abi: tree
	@ci/deps abi && ci/package/abi

#: make suites    run the direct I/O tests of others: LTP=DIR XFSTESTS=DIR BLKTESTS=DIR LIBURING=DIR, built
suites: tree
	@ci/deps suites && ci/test/suites

#: make bases     apply the series to each version that apt offers, and compile it there: hours
bases: fetch
	@ci/deps check && ci/series/bases offered

#: make fetch     download the newest Debian source package that the series applies to
fetch:
	@ci/deps demo && ci/series/fetch

#: make clean     remove out/
clean:
	rm -rf out
#:
#: LINUX=DIR or LINUX=FILE.tar.xz   take another tree of that version as the base
#: BASE_VERSION=6.1.x-n             take this version of Debian's source package, tested or not
#: SERIES=6.1 or SERIES=6.12        the series, if it is not that of the Debian release
#: OUT=DIR                          build there instead of in out/
#: JOBS=N                           compile N files at a time
#: CCACHE_DIR=DIR                   compile by way of ccache, whose cache is in DIR
#: ONLY=PATTERN                     of selftest and kunit, run only what has such a name
#: JUNIT=FILE                       make check also writes its results as JUnit XML
#: MINUTES=N                        make check begins the other series only if N minutes are not over (50)
#: TESTS=PATTERN                    of suites, run only SUITE/TEST that match, as 'ltp/dma*'
#: FULL=1 LIMIT=SECONDS             of suites, also xfstests' group quick; how long a test may take
#: BASE=stock KERNEL=bzImage        of suites, Debian's image as the base; another kernel of ours
#: KCC=clang                        compile the kernels by another compiler than gcc
