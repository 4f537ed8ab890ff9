# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# The checks of ci/lint/lint, which sources this.

spdx() {
	git -C "$ROOT" ls-files --cached --others --exclude-standard |
		grep -vE '^(COPYING|patches/.*|ci/bench/(bench|paths)\.(csv|svg)|ci/test/logs/.*)$' |
		(cd "$ROOT" && xargs -d '\n' awk '
			function done() { if (name && !ok) { print name " has no SPDX line"; bad = 1 } }
			FNR == 1 { done(); name = FILENAME; ok = 0 }
			FNR <= 3 && /SPDX-License-Identifier: GPL-2\.0/ { ok = 1 }
			FNR == 3 { nextfile }
			END { done(); exit bad }')
}
sizes() {
	! wc -l "${scripts[@]}" | awk '$1 >= 150 && $2 != "total" { print $2 " has 150 lines or more" }' | grep .
}
config_sorted() {
	awk 'FNR == 1 || /^$/ { last = "" } /^CONFIG_/ { if ($0 < last) { print FILENAME ": " $0 " after " last; bad = 1 } last = $0 }
		END { exit bad }' "$ROOT"/ci/guest/config/{,*/}*.config
}
# "stock" and "mainline" as arguments are in `...`; CONTRIBUTING.md lists the words.
# shellcheck disable=SC2016
words() {
	! (cd "$ROOT" && sed 's/`[^`]*`//g; s/^    .*//' README.md docs/*.md "$PATCHES"/cover "$PATCHES"/*/cover |
		grep -nwi 'stock') && [ "$(wc -l <"$ROOT/README.md")" -le 200 ]
}
# Print those of the files that differ from commit $since, all without one.  A file is one
# of the repository, or one of the kernel that has its place there.
changed() {	# FILE...
	local f place
	[ -n "$since" ] || { printf '%s\n' "$@"; return; }
	git -C "$ROOT" diff --name-only "$since" >"$tmp/changed"
	git -C "$ROOT" ls-files --others --exclude-standard >>"$tmp/changed"
	for f; do
		place=${f#"$ROOT/"}
		[[ $f == /* ]] || place=$(file_place "$f")
		! grep -qxF "$place" "$tmp/changed" || echo "$f"
	done
}
# Skip shellcheck if it passed these scripts before
shell() {	# SCRIPT...
	local stamp
	stamp=$({ shellcheck --version; echo "$@"; cat "${scripts[@]}"; } | sha256sum)
	[ $# = 0 ] || [ -e "$known/${stamp%% *}" ] || { shellcheck "$@" && touch "$known/${stamp%% *}"; }
}
judges() {
	local stamp
	stamp=$(cat "$ROOT"/ci/lib.sh "$ROOT"/ci/test/{judges,dmesg-scan,results.sh} "$ROOT"/ci/suites/{results,judges.sh} "$ROOT"/ci/package/{abi-table,judges.sh} "$ROOT"/ci/test/logs/* | sha256sum)
	[ -e "$known/${stamp%% *}" ] || { "$ROOT/ci/test/judges" && touch "$known/${stamp%% *}"; }
}
# Print what ci/series/verify printed, if all that it reads is as it was when it passed
verify() {
	local stamp
	stamp=$({ g rev-parse HEAD base; cat "$ROOT"/ci/{lib.sh,series/*} "$PATCHES"/{series,*/*.patch}
		(cd "$ROOT" && git ls-files --cached --others --exclude-standard lib include fs tools \
			Documentation scripts patches && cat "${places[@]}"); } | sha256sum)
	stamp=$known/verify-${stamp%% *}
	[ -e "$stamp" ] || { "$ROOT/ci/series/verify" >"$tmp/verified" && mv "$tmp/verified" "$stamp"; } ||
		cat "$tmp/verified"
	[ ! -e "$stamp" ] || cat "$stamp"
}
# Read only files that did not pass before.  checkpatch takes a second to start, so it
# reads all at once.  It reads them one by one only to find the bad ones.
checkpatch() {	# [--no-tree -f] FILE...
	local f stamp files=() stamps=() bad=0
	local options=(--strict --no-signoff --quiet --ignore "FILE_PATH_CHANGES,GIT_COMMIT_ID,UNKNOWN_COMMIT_ID")
	while [[ ${1:-} == -* ]]; do
		options+=("$1")
		shift
	done
	cd "$TREE" || return
	for f; do
		stamp=$({ echo "${options[*]} $f"; cat .git/source scripts/checkpatch.pl "$f"; } | sha256sum)
		[ -e "$known/${stamp%% *}" ] || { files+=("$f"); stamps+=("$known/${stamp%% *}"); }
	done
	[ ${#files[@]} != 0 ] || return 0
	if clean "${files[@]}" >/dev/null; then
		touch "${stamps[@]}"
		return 0
	fi
	for f in "${files[@]}"; do
		stamp=${stamps[0]} stamps=("${stamps[@]:1}")
		if clean "$f"; then
			touch "$stamp"
			continue
		fi
		echo "these are of $f"
		bad=1
	done
	return $bad
}
# Has checkpatch nothing to say of the files, with the options of its caller?  It may
# complain of a name in CamelCase that the base has.  Prints what it says otherwise.
clean() {	# FILE...
	local said name new
	if said=$(perl scripts/checkpatch.pl "${options[@]}" "$@"); then return 0; fi
	if grep -q '^CHECK: Avoid CamelCase: <' <<<"$said" &&
	   ! grep -qv '^CHECK: Avoid CamelCase: <' < <(grep -E '^(ERROR|WARNING|CHECK): ' <<<"$said"); then
		new=$(sed -n 's/^CHECK: Avoid CamelCase: <\(.*\)>$/\1/p' <<<"$said" | sort -u |
			while read -r name; do g grep -qw "$name" base || echo "$name"; done)
		[ -n "$new" ] || return 0
	fi
	printf '%s\n' "$said"
	return 1
}
# As checkpatch --codespell, in a tenth of the time
spelling() {
	(cd "$ROOT" && codespell --builtin clear README.md CONTRIBUTING.md docs Makefile ci "${places[@]}") &&
	awk 'FNR == 1 { message = 1 } /^---$/ { message = 0 } message || /^\+/' \
		"$PATCHES"/*/*.patch "$PATCHES"/cover "$PATCHES"/*/cover | codespell --builtin clear -
}
kernel_doc() {	# new complaints compared with the base
	local f files new=() old=()
	mapfile -t files < <((touched_files; series_files) | grep '\.[ch]$')
	for f in "${files[@]}"; do
		[ ! -e "$TREE/$f" ] || new+=("$f")
		g cat-file -e "base:$f" 2>/dev/null || continue
		mkdir -p "$tmp/base/$(dirname "$f")"
		g show "base:$f" >"$tmp/base/$f"
		old+=("$f")
	done
	complaints() { perl "$TREE/scripts/kernel-doc" -v -none "$@" 2>&1 | grep -i 'warning: ' | sed 's/:[0-9]*:/:/' | sort; }
	! comm -23 <(cd "$TREE" && complaints "${new[@]}") <(cd "$tmp/base" && complaints "${old[@]}") | grep .
}

