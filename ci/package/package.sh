# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What ci/package/deb and ci/package/abi have in common; they source this after ci/lib.sh.

packages=$OUT/package
mkdir -p "$packages"
source=$(basename "$(cat "$TREE/.git/source")")
base=${source#linux-} base=${base%.tar.xz}

# debian_config FLAVOUR: print where Debian's configuration of that name is
debian_config() {
	local flavour=$1 to=$packages/config-$1 package=linux-config-$SERIES tmp from
	[ ! -e "$to" ] || { echo "$to"; return; }
	tmp=$(mktemp -d "$packages/tmp.XXXXXX")
	[ "$(id -u)" != 0 ] || chmod 777 "$tmp"
	# that of this base, or else the newest
	(cd "$tmp" && { apt-get -q download "$package=$base" || apt-get -q download "$package"; }) \
		>"$LOGS/package-config.log" 2>&1 ||
		die "$package could not be downloaded" "give a configuration: CONFIG=/boot/config-..."
	from=./usr/src/$package/config.amd64_none_$flavour.xz
	dpkg-deb --fsys-tarfile "$tmp"/*.deb | tar -xO "$from" 2>/dev/null | xz -dc >"$tmp/config" 2>/dev/null || {
		printf '\nDebian has: ' >&2
		dpkg-deb --contents "$tmp"/*.deb | sed -nE 's,.*config\.amd64_none_(.*)\.xz$,\1,p' | paste -sd ' ' >&2
		rm -rf "$tmp"
		die "there is no flavour '$flavour'" "FLAVOUR is one of these, or give CONFIG=FILE"
	}
	mv "$tmp/config" "$to"
	rm -rf "$tmp"
	echo "$to"
}

# estimate BUILD MAKE...: set $objects and $minutes.  The options that are set give the
# objects: cloud-amd64 sets 2695, and 5901 were compiled.  Twelve of them give the speed:
# they take about twice as long as others.
estimate() {
	local build=$1 sample=(fs/{namei,dcache,inode,read_write}.o mm/{mmap,memory,vmscan,filemap}.o
		kernel/{fork,signal}.o lib/{xarray,iov_iter}.o) run start took=0
	shift
	objects=$(($(grep -cE '=[ym]$' "$build/.config") * 22 / 10))
	logged package-prepare "$@" prepare || die "the kernel could not be prepared"
	# make takes seconds before it compiles anything
	for run in first nothing again; do
		[ "$run" != again ] || (cd "$build" && rm -f "${sample[@]}")
		start=$(date +%s%N)
		logged package-sample "$@" "${sample[@]}" || die "the kernel does not compile"
		took=$((($(date +%s%N) - start) / 1000000 - took))
		[ "$run" != first ] || took=0
	done
	# shellcheck disable=SC2034
	minutes=$((objects * took / ${#sample[@]} / 2 / 60000 + 1))
}

# debian_symbols FLAVOUR DIRECTORY: Module.symvers and version of Debian's headers of that
# flavour.  Fails if apt offers none.
debian_symbols() {
	local to=$2 package
	[ ! -s "$to/Module.symvers" ] || return 0
	package=$(apt-cache depends "linux-headers-$1" 2>/dev/null |
		awk '$1 == "Depends:" && $2 ~ /^linux-headers-[0-9]/ { print $2; exit }')
	mkdir -p "$to"
	[ "$(id -u)" != 0 ] || chmod 777 "$to"
	[ -n "$package" ] && (cd "$to" && logged abi-headers apt-get -q download "$package") || return
	dpkg-deb --fsys-tarfile "$to"/*.deb | tar -xO --wildcards '*/Module.symvers' >"$to/symvers"
	dpkg-deb -f "$to"/*.deb Version >"$to/version"
	mv "$to/symvers" "$to/Module.symvers"
}
