# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# The tests of ci/suites/results; ci/test/judges sources this.

# The results of other suites, on the base and on ours
compared() {	# accept|refuse BASE OURS MUST-SAY
	local status=0 test="ltp dio/dio01"
	echo "$test" >"$tmp/list"
	echo "$test $2 1" >"$tmp/base"
	echo "$test $3 1" >"$tmp/ours"
	"$ROOT/ci/suites/results" compare "$tmp/list" "$tmp/base" "$tmp/ours" >"$tmp/said" 2>&1 || status=$?
	told "$1" "$2 on the base, $3 on ours" "$status" "$tmp/said" "$4"
}
for pair in pass:pass fail:fail panic:panic; do compared accept "${pair%:*}" "${pair#*:}" "suites: 1 passed, 0 failed"; done
for pair in fail:pass skip:pass timeout:fail hang:timeout panic:hang; do
	compared accept "${pair%:*}" "${pair#*:}" "better: ltp dio/dio01: ${pair%:*} on the base"
done
for pair in pass:fail pass:skip fail:skip skip:fail fail:timeout timeout:hang hang:panic; do
	compared refuse "${pair%:*}" "${pair#*:}" "worse: ltp dio/dio01: ${pair%:*} on the base"
done
: >"$tmp/ours"
status=0
"$ROOT/ci/suites/results" compare "$tmp/list" "$tmp/base" "$tmp/ours" >"$tmp/said" 2>&1 || status=$?
told refuse "a test that did not run on ours" "$status" "$tmp/said" "did not run on both"

# A guest of these suites: what it wrote, and what is made of it
lost() {	# NAME RESULTS HOW TAP [CONSOLE]
	local status=0
	printf 'ltp dio/dio%s\n' 01 02 >"$tmp/list"
	printf '%b' "$4" >"$tmp/tap"
	echo "${5:-}" >"$tmp/console"
	rm -f "$tmp/results"
	"$ROOT/ci/suites/results" take "$3" "$tmp/tap" "$tmp/console" "$tmp/list" "$tmp/results" >"$tmp/said" 2>&1 || status=$?
	[ ! -e "$tmp/results" ] || paste -sd '|' "$tmp/results" >>"$tmp/said"
	case $2 in
	refuse:*) told refuse "$1" "$status" "$tmp/said" "${2#*:}" ;;
	*)	told accept "$1" "$status" "$tmp/said" "$2" ;;
	esac
}
one='# start ltp dio/dio01\nltp dio/dio01 pass 7\r\n'
two='# start ltp dio/dio02\n'
lost "a guest that ended" "ltp dio/dio01 pass 7|ltp dio/dio02 fail 9" ENDED "$one$two# | why\nltp dio/dio02 fail 9\n"
lost "a guest that panics" "ltp dio/dio02 panic -" ENDED "$one$two" "[ 7.0] Kernel panic - not syncing: Fatal exception"
lost "a guest that hangs" "ltp dio/dio02 hang -" ENDED "$one$two" "[ 7.0] INFO: task blocked"
lost "a result that is cut off" "ltp dio/dio02 hang -" ENDED "$one${two}ltp dio/dio02 pass 1"
lost "a guest that was stopped" "1"$'\n'"ltp dio/dio01 pass 7" STOPPED "$one$two"
lost "a guest that began no test" "0" ENDED "# kernel: 6.1\n"
lost "a result of another test" "refuse:while ltp dio/dio02 ran" ENDED "${two}ltp dio/dio01 pass 7\n"
lost "a test that began in another" "refuse:began before" ENDED "$two# start ltp dio/dio01\n"
lost "a test that nobody asked for" "refuse:nobody asked" ENDED "# start ltp dio/dio09\n"

# Which tests are left to run
left() {	# NAME MUST-SAY RESULT...
	printf '%s\n' "ltp dio/dio01" "ltp dio/dio02" >"$tmp/list"
	printf '%s\n' "${@:3}" >"$tmp/results"
	"$ROOT/ci/suites/results" left "$tmp/list" "$tmp/results" 60 2>&1 | paste -sd '|' | sed 's/.*/[&]/' >"$tmp/said"
	told accept "$1" 0 "$tmp/said" "$2"
}
left "a test without a result" "[ltp dio/dio02]" "ltp dio/dio01 fail 3"
left "a test that had less time" "[ltp dio/dio01]" "ltp dio/dio01 timeout 30" "ltp dio/dio02 panic -"
left "nothing" "[]" "ltp dio/dio01 timeout 60" "ltp dio/dio02 hang -"
