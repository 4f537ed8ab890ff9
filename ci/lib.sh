# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Every script in ci/ sources this: paths, messages, logged steps.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Which series: SERIES=6.1, or what the Debian release at hand runs
if [ -z "${SERIES:-}" ]; then
	SERIES=6.1
	case $(cat /etc/debian_version 2>/dev/null) in
	13*|trixie*) [ ! -d "$ROOT/patches/6.12" ] || SERIES=6.12 ;;
	esac
fi
PATCHES=$ROOT/patches/$SERIES
if [ -z "${OUT:-}" ]; then
	OUT=$ROOT/out
	[ "$SERIES" = 6.1 ] || OUT=$OUT/$SERIES
fi
TREE=$OUT/linux			# the base with the series on top
SELFTEST_TREE=${SELFTEST_TREE:-$TREE}	# the tree whose selftests are built and run
LOGS=$OUT/log
# The columns of the tables of results: of the logs stock, mainline, ours and debug
COLUMNS_OF_TABLES="Debian's 6.1|Debian's 6.12|ours|ours, debug"
[ "$SERIES" = 6.1 ] || COLUMNS_OF_TABLES="Debian's $SERIES||ours, $SERIES|ours, $SERIES, debug"
export ROOT SERIES PATCHES OUT TREE SELFTEST_TREE LOGS COLUMNS_OF_TABLES
mkdir -p "$LOGS"

# What "ci/check brief" and the demo of 6.12 mount: see ci/guest/targets
export BRIEF_TARGETS="raw ext4 dm-snapshot dm-crypt nfs3 nfs4 fuse"
export LC_ALL=C TZ=UTC
# The kernel's makefiles must not see the variables of make
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL ARCH CROSS_COMPILE
export PYTHONDONTWRITEBYTECODE=1	# kunit.py is run in out/linux
export KBUILD_BUILD_USER=iov_iter KBUILD_BUILD_HOST=extract
JOBS=${JOBS:-$(nproc)}
say() { printf '[%3d:%02d] %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$*"; }

# die CAUSE [WAY-OUT]
die() {
	printf '\n%s: error: %s\n' "${0##*/}" "$1" >&2
	[ $# -lt 2 ] || printf '%s: %s\n' "${0##*/}" "$2" >&2
	exit 1
}

# KCC=clang is another compiler.  ccache runs only if there is a cache, at CCACHE_DIR or in
# ~/.cache/ccache: to fill one, the first build takes a quarter longer.
CLANG=clang
if [ -z "${CCACHE_DIR:-}" ] && [ -d "${HOME:-/root}/.cache/ccache" ] && command -v ccache >/dev/null; then
	export CCACHE_DIR=${HOME:-/root}/.cache/ccache
fi
if [ -n "${CCACHE_DIR:-}" ]; then
	command -v ccache >/dev/null ||
		die "CCACHE_DIR is set, but there is no ccache" "apt-get install ccache, or unset it"
	# one cache for clones in different places
	export CCACHE_NOHASHDIR=1 CCACHE_BASEDIR=$OUT CCACHE_IGNOREOPTIONS='-fmacro-prefix-map=*'
	export CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-5G}
	CLANG="ccache clang"
	KCC=${KCC:-ccache gcc}
fi
KCC=${KCC:-gcc}
KCC_SUFFIX=""
[[ $KCC == *gcc ]] || KCC_SUFFIX=-${KCC##*[/ ]}
export KCC KCC_SUFFIX CLANG JOBS

# logged NAME COMMAND...: the output goes to out/log/NAME.log; on failure its
# end and the command to repeat are printed.
logged() {
	local name=$1 log=$LOGS/$1.log
	shift
	if ! "$@" >"$log" 2>&1; then
		printf '\n%s failed; the end of %s:\n' "$name" "$log" >&2
		tail -n 25 "$log" | sed 's/^/    /' >&2
		printf 'repeat it with:\n    cd %q &&' "$PWD" >&2
		printf ' %q' "$@" >&2
		printf '\n' >&2
		return 1
	fi
}

# fragments NAME...: the configuration of a guest, with what the series has on top
fragments() {
	local name
	for name; do
		cat "$ROOT/ci/guest/config/$name.config"
		[ ! -e "$ROOT/ci/guest/config/$SERIES/$name.config" ] ||
			cat "$ROOT/ci/guest/config/$SERIES/$name.config"
	done
}

# of_targets NAME...: what the table of targets asks for, and these fragments do not
of_targets() {
	"$ROOT/ci/guest/targets" config "$TREE/tools/testing/selftests/iov_iter" |
		sed 's/.*/CONFIG_&=y/' | grep -vxFf <(fragments "$@") || true
}

# space MIB DIR
space() {
	local free
	free=$(df --output=avail -m "$2" | tail -n 1)
	[ "$free" -ge "$1" ] ||
		die "$2 has $free MiB free, this step needs $1 MiB" \
		    "free some space, or put the build elsewhere: make OUT=/other/disk ..."
}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

[ -e "$PATCHES/series" ] || die "there is no $PATCHES/series" "SERIES is one of: $(cd "$ROOT/patches" && echo *)"
. "$ROOT/ci/series/series.sh"

# progress NAME TOTAL COMMAND...: as logged, and prints every 15 s how many of about
# TOTAL objects make has built.
progress() {
	local name=$1 total=$2 log=$LOGS/$1.log pid n last=
	shift 2
	say "$name: log: $log"
	"$@" >"$log" 2>&1 &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		sleep 1
		[ $((SECONDS % 15)) = 0 ] || continue
		n=$(grep -cE '^  (CC|AS) ' "$log" || true)
		if [ "$n" != "$last" ]; then
			say "$name: $n of about $total objects"
		fi
		last=$n
	done
	if ! wait "$pid"; then
		printf '\n%s failed; errors in %s:\n' "$name" "$log" >&2
		grep -nE 'error|Error|\*\*\*|undefined' "$log" | head -n 20 | sed 's/^/    /' >&2
		printf 'repeat it with:\n    cd %q &&' "$PWD" >&2
		printf ' %q' "$@" >&2
		printf '\n' >&2
		return 1
	fi
}
