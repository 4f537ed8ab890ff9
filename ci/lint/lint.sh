# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# ci/lint/lint-objects sources this, after ci/lib.sh.

gcc=$OUT/lint/gcc
src=$OUT/lint/linux
g() { git -C "$TREE" "$@"; }
# checkout COMMIT: in a tree of its own (hard links): out/linux keeps its time stamps
checkout() {
	local f
	if [ ! -d "$src" ]; then
		space 3000 "$OUT"
		mkdir -p "$OUT/lint"
		rm -rf "$src.tmp"
		cp -al "$TREE" "$src.tmp"
		rm -rf "$src.tmp/.git"
		cp "$TREE/.git/source" "$OUT/lint/source"
		mv "$src.tmp" "$src"
	fi
	for f in $({ g ls-tree -r --name-only base && g ls-tree -r --name-only HEAD; } | sort -u); do
		if ! g cat-file -e "$1:$f" 2>/dev/null; then
			rm -f "$src/$f"
		elif ! g show "$1:$f" | cmp -s - "$src/$f"; then
			rm -f "$src/$f"
			g show "$1:$f" >"$src/$f"
		fi
	done
}
# objects of the files that the series touches, of a topic of those that it touches, and
# of some users of the touched headers
objects() {
	case $1 in
	topic/*) g diff --name-only --diff-filter=d base "$1" ;;
	*)	g ls-tree -r --name-only "$1" ;;
	esac | sed -n 's/^\(lib\|mm\|block\|fs\|crypto\|net\|drivers\|kernel\)\(.*\)\.c$/\1\2.o/p'
	printf '%s\n' block/fops.o fs/zonefs/file.o fs/splice.o fs/xfs/xfs_bio_io.o
}
warnings() { sed -n -E 's/^(.*\/linux\/)?((lib|mm|block|fs|crypto|net|drivers|kernel|include)\/[^:]*):[0-9]+:([0-9]+:)? *(warning|error): /\2: /p' "$1" | sort; }
