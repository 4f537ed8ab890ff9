# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# The tests of ci/package/abi-table; ci/test/judges sources this.

# symvers KIND LINE...: "CRC SYMBOL MODULE TYPE [NAMESPACE]"
symvers() {
	mkdir -p "$tmp/abi/$1"
	printf '%s\n' "${@:2}" | sed -E 's/ /\t/g; s/^([^\t]*\t){3}[^\t]*$/&\t/' >"$tmp/abi/$1/Module.symvers"
}
# tabled accept|refuse NAME MUST-SAY
tabled() {
	local status=0
	printf '<!-- table: %s -->\nold\n<!-- end -->\n' symbols debian structures modules >"$tmp/abi/page"
	"$ROOT/ci/package/abi-table" "$tmp/abi" "$tmp/abi/page" >"$tmp/said" 2>&1 || status=$?
	told "$1" "$2" "$status" "$tmp/said" "$3"
}
before=("0x11 a vmlinux EXPORT_SYMBOL" "0x22 b net/9p EXPORT_SYMBOL_GPL NS")
symvers base "${before[@]}"
echo "Functions changes summary: 0" >"$tmp/abi/structures"
echo "abi_x|right|refused: a|right" >"$tmp/abi/modules"
printf '%s: x\n' date commit machine what >"$tmp/abi/run"
symvers ours "${before[@]}"
tabled accept "the same symbols" "sum                                     2      2     0     0     0     0"
tabled accept "a module that is refused" "abi_x             refused: a"
symvers ours "${before[@]}" "0x33 c vmlinux EXPORT_SYMBOL"
tabled accept "a symbol that is new" "new, vmlinux (1): c"
symvers ours "${before[0]}"
tabled accept "a symbol that is gone" "gone, net/9p (1): b"
symvers ours "0x12 a vmlinux EXPORT_SYMBOL" "${before[1]}"
tabled accept "another CRC" "another CRC, vmlinux (1): a"
symvers ours "${before[0]}" "0x22 b net/9p EXPORT_SYMBOL_GPL"
tabled accept "another namespace" "exported otherwise, net/9p (1): b"
symvers ours "0x0 a vmlinux EXPORT_SYMBOL"
tabled refuse "symbols without CRCs" "no symbol with a CRC"
symvers ours "${before[@]}"
echo "kmidiff: error" >"$tmp/abi/structures"
tabled refuse "a report of nothing" "no report of kmidiff"
rm -r "$tmp/abi/base"
symvers debian "${before[@]}"
echo 1 >"$tmp/abi/debian/version"
symvers ours "0x12 a vmlinux EXPORT_SYMBOL" "${before[1]}"
tabled accept "packages beside Debian's headers" "another CRC: vmlinux (1)"
