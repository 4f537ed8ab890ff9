# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What ci/selftest reads in the results of a guest; sourced, after ci/lib.sh.

# Whether the kernel's own parser says that all passed.  It counts a missing line
# of an outer result as an error, and yet ends well: look at the count, too.
parse() {
	python3 "$TREE/tools/testing/kunit/kunit.py" parse "$LOGS/selftest-$1.tap.log" \
		>"$LOGS/selftest-$1.kunit.log" 2>&1 || return 1
	[ "$(count "$1" errors)" = 0 ]
}
# field NAME KEY: of a line "# ...KEY VALUE..."
field() { sed -nE "s/^# .*\b$2:? ([^ ]+).*/\1/p" "$LOGS/selftest-$1.tap.log" | tail -n 1; }
# count NAME STATUS: of the parser's last line, "Ran 9 tests: passed: 8, failed: 1"
count() {
	local n
	n=$(sed -n 's/.*Testing complete\..*/&/p' "$LOGS/selftest-$1.kunit.log" | tail -n 1 |
		grep -oE "$2: [0-9]+" | grep -oE '[0-9]+') || true
	echo "${n:-0}"
}
failures() { grep -E '^ +not ok ' "$LOGS/selftest-$1.tap.log" || true; }
