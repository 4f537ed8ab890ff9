# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# ci/lint/lint-objects sources this, after ci/lib.sh, and sets $sparse and $list.

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
# passing COMMIT BUILD-DIR: the file that is there if this tree has passed, with the
# configuration and the base of today; no compiler reads the documents and the selftests
passing() {
	local key
	key=$({ g ls-tree "$1" | awk '$4 !~ /^(Documentation|MAINTAINERS|tools)$/'
		cat "$TREE/.git/source" "$2/fragment"; } | sha256sum)
	echo "$OUT/lint/passed/objects-$(basename "$2")-${key%% *}"
}
# of_base BUILD-DIR: the file that names the objects which were compiled at the base, with
# the configuration and the base of today; its .log has their warnings, as of_objects
of_base() {
	local key
	key=$({ cat "$TREE/.git/source" "$1/fragment"; echo "${sparse[*]}"; } | sha256sum)
	echo "$OUT/lint/base-$(basename "$1")-${key%% *}"
}
# of_objects LOG: its warnings without the numbers of lines, each behind the object that make
# had begun to compile
of_objects() {
	awk '$1 == "CC" { object = $NF } { print object "\t" $0 }' "$1" | sed -n -E \
		's/^([^\t]*\t)(.*\/linux\/)?((lib|mm|block|fs|crypto|net|drivers|kernel|include)\/[^:]*):[0-9]+:([0-9]+:)? *(warning|error): /\1\3: /p'
}
# among OBJECT...: of such lines, those of these objects, sorted
among() { awk -F'\t' 'NR == FNR { some[$1]; next } $1 in some' <(printf '%s\n' "$@") - | sort; }
# unknown LOG BUILD-DIR: the objects with other warnings than those of the base that are known
unknown() {
	comm -23 <(of_objects "$1" | sort) <(sed -n "s/^${2##*/}\t//p" "$list" 2>/dev/null) |
		cut -f 1 | sort -u
}
# in_base: of such objects, those whose sources the base has
in_base() {
	local f
	while read -r f; do
		! grep -qxF "${f%.o}.c" "$TREE/.git/base-files" || echo "$f"
	done
}
