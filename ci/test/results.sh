# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# How ci/test/selftest, which sources this, reads and judges the results of its guests.

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

# ended NAME: wait for that guest, and tell whether it ran to its end
ended() { wait "${booted[$1]}" || wrong "$1" "the guest did not end well"; }
wrong() { printf 'selftest: %s: %s\n' "$1" "$2" >&2; bad=1; }

# without_p2pdma: skip dio_p2pdma where the series lacks its topic, or QEMU its machine.
# $no_p2pdma says why.
no_p2pdma=""
without_p2pdma() {
	local i devices
	devices=$(qemu-system-x86_64 -device help | grep -cE '"(nvme|x3130-upstream|xio3130-downstream)"' || true)
	[ "$devices" = 3 ] || no_p2pdma="this QEMU has no PCIe switch, or no NVMe disk"
	series_topics | grep -x p2pdma >/dev/null || no_p2pdma="this series has no topic p2pdma"
	for i in "${!programs[@]}"; do
		if [[ ${programs[i]} == dio_p2pdma* ]] && [ -n "$no_p2pdma" ]; then
			say "dio_p2pdma is skipped: $no_p2pdma"
			skipped=$((skipped + 1))
			unset "programs[i]"
		fi
	done
}

# only PROGRAM...: those that have such a result, in $programs, with -k.  The kernel's
# command line has no blanks, commas or colons to spare.
only() {
	local program words pattern
	pattern=$(tr ' ,:"'"'" '?????' <<<"$ONLY")
	programs=()
	"$ROOT/ci/guest/rootfs" ours
	for program; do
		IFS=: read -ra words <<<"$program"
		! "$OUT/rootfs/programs/${words[0]}" "${words[@]:1}" -l -k "$pattern" >/dev/null ||
			programs+=("$program:-k:$pattern")
	done
	[ ${#programs[@]} != 0 ] || die "no result of ${*%%:*} is named like '$ONLY'" \
		"out/rootfs/programs/dio_fork -l lists those of dio_fork"
}

# again NAME: how its failures are had again, alone
again() {
	failures "$1" | sed -E "s/^ +not ok [0-9]+ //; s/ # .*//; s/'/?/g; s/.*/to repeat it alone: make selftest ONLY='&'/"
}

# never_ran PROGRAM...: no target that the table has, and these programs tried, may have
# nothing but skips.  The table gives a reason where that cannot be otherwise.
never_ran() {
	local program target results taps=()
	for program; do taps+=("$LOGS/selftest-$ours-${program%%:*}.tap.log"); done
	[ ${#taps[@]} != 0 ] || return 0
	while read -r target; do
		results=$(grep -hE "^ +(not )?ok [0-9]+ $target " "${taps[@]}" 2>/dev/null) || continue
		grep -qv '# SKIP ' <<<"$results" ||
			wrong "$target" "a target that never ran: $(sed -n '1s/.*# SKIP //p' <<<"$results")"
	done < <("$ROOT/ci/guest/targets" name "$SELFTEST_TREE/tools/testing/selftests/iov_iter")
}

stock() {	# stock|mainline PROGRAM
	local name=$1-${2%%:*}
	ended "$name"
	parse "$name" || true
	[ "$(count "$name" crashed) $(count "$name" errors)" = "0 0" ] ||
		wrong "$name" "results are missing, see $LOGS/selftest-$name.kunit.log"
	say "$name ($(field "$name" kernel)) fails $(count "$name" failed) of" \
		"$(($(count "$name" passed) + $(count "$name" failed))) cases;" \
		"get_user_pages_fast() was called $(field "$name" 'get_user_pages_fast called') times"
}

ours() {	# PROGRAM
	local acquired released name=$ours-${1%%:*} stacks pages bvecs
	ended "$name"
	grep -qx $'# guest: done\r\\?' "$LOGS/selftest-$name.tap.log" ||
		wrong "$name" "its end marker is missing"
	case $(field "$name" kernel) in
	*-iov-extract*) ;;
	*)	# which a guest that did not end well does not tell
		wrong "$name" "the kernel that ran is '$(field "$name" kernel)', not ours"
		return ;;
	esac
	# The parser accepts results without a plan.
	[ "$(grep -c '^ *# Subtest: ' "$LOGS/selftest-$name.tap.log")" = \
	  "$(grep -cE '^ +1\.\.[0-9]' "$LOGS/selftest-$name.tap.log")" ] || wrong "$name" "a program has no plan"
	if ! parse "$name"; then
		failures "$name" >&2
		again "$name" >&2
		wrong "$name" "kunit.py parse says no, see $LOGS/selftest-$name.kunit.log"
	fi
	"$ROOT/ci/test/dmesg-scan" "$LOGS/selftest-$name.console.log" || wrong "$name" "the kernel complains"
	acquired=$(field "$name" nr_foll_pin_acquired)
	released=$(field "$name" nr_foll_pin_released)
	if [ "${acquired:-0}" = 0 ] || [ "$acquired" != "$released" ]; then
		wrong "$name" "pins: $acquired taken, $released released"
	fi
	# Failing allocations are what dio_faults is about: it looks for itself.
	case $kind:$1 in
	matrix:*|*:dio_faults*) ;;
	*)	[ "$(field "$name" kmemleak)" = scanned ] || wrong "$name" "kmemleak is off" ;;
	esac
	# No direct I/O may come there; a futex in shared memory, vmsplice(), TLS that is
	# sent and what Ceph reads to the page cache do.
	stacks=$(grep '^# stack: ' "$LOGS/selftest-$name.tap.log" |
		grep -vE '<(get_futex_key|__do_sys_vmsplice|sk_msg_zerocopy_from_iter|netfs_begin_read|ceph_netfs_issue_read)<' || true)
	[ -z "$stacks" ] || wrong "$name" "references are taken:"$'\n'"$stacks"
	# one for bios, one for all else
	pages=$(field "$name" 'pin_user_pages_fast called') bvecs=$(field "$name" 'pin_user_bvecs_fast called')
	[ $((${pages:-0} + ${bvecs:-0})) != 0 ] || wrong "$name" "the probes see nothing"
	say "$name ($(field "$name" kernel)): $(count "$name" passed) passed," \
		"$(count "$name" failed) failed; $acquired pins taken, $released released;" \
		"get_user_pages_fast() was called $(field "$name" 'get_user_pages_fast called') times"
	passed=$((passed + $(count "$name" passed))) failed=$((failed + $(count "$name" failed)))
	skipped=$((skipped + $(count "$name" skipped)))
}
