# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Functions that read patches/SERIES/series; ci/lib.sh sources this.  A line at the margin names a topic
# and what it needs, "nfs: api block".  An indented line is a patch of that topic, in
# patches/SERIES/TOPIC/, "NAME.patch", or "NAME.patch + FILE...": new files that enter with it.
# "DIRECTORY/" stands for all files there.

# "TOPIC/NAME.patch" or "TOPIC/NAME.patch + FILE...", a line each
series_lines() {
	awk '{ sub(/#.*/, "") }
		/^[^ \t]/ { topic = $1; sub(/:$/, "", topic); next }
		NF { $1 = topic "/" $1; print }' "$PATCHES/series"
}
series_patches() { series_lines | awk '{ print $1 }'; }
series_files() { series_lines | awk '{ for (k = 3; k <= NF; k++) print $k }' | files_of; }
# files_of: the files that each line read names, itself or by their directory
files_of() {
	local f
	while read -r f; do
		case $f in
		*/)	git -C "$ROOT" ls-files --cached --others --exclude-standard "$f" ;;
		*)	echo "$f" ;;
		esac
	done
}
# all_series_files: the same of every series
all_series_files() {
	local list
	for list in "$ROOT"/patches/*/series; do
		PATCHES=${list%/series} series_files
	done | sort -u
}
# file_place FILE: where a new file is kept.  All series share it, unless theirs is in
# patches/SERIES/files/.
file_place() {
	if [ -e "$PATCHES/files/$1" ]; then echo "patches/$SERIES/files/$1"; else echo "$1"; fi
}
series_topics() { sed -nE 's/^([a-z0-9]+):.*/\1/p' "$PATCHES/series"; }
# topic_heading TOPIC: its line in the series file
topic_heading() { grep -E "^$1:" "$PATCHES/series" || echo "$1:"; }
# topic_needs TOPIC: all topics that it needs, and itself, in the order of the series
topic_needs() {
	awk -v want="$1" '
		/^[a-z0-9]+:/ { t = $1; sub(/:$/, "", t); order[++n] = t; $1 = ""; needs[t] = $0 }
		function take(t,   k, list, m) {
			if (t in taken) return
			taken[t] = 1
			m = split(needs[t], list, " ")
			for (k = 1; k <= m; k++) take(list[k])
		}
		END { take(want); for (k = 1; k <= n; k++) if (order[k] in taken) print order[k] }' \
		"$PATCHES/series"
}
# topic_commits TOPIC...: the commits of these topics in out/linux
topic_commits() {
	paste -d ' ' <(series_patches) <(git -C "$TREE" rev-list --reverse base..HEAD) |
		awk -v topics=" $* " '{ split($1, path, "/") } index(topics, " " path[1] " ") { print $2 }'
}
# Existing kernel files that the patches edit.
touched_files() {
	(cd "$PATCHES" && series_patches | xargs sed -n 's,^--- a/,,p') | sort -u |
		grep -vxFf <(series_files)
}
