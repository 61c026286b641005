#!/bin/sh
# Makes a Debian bookworm root file system with compiler, python and perl, once.
#
#	tests/workloads/rootfs.sh DIR [PACKAGE...]	(DEBIAN_MIRROR: debootstrap's own choice if unset)
#
# Exit status 75: it cannot be made here (the reason is printed).
set -u
dir=$1
shift
[ -e "$dir/.complete" ] && exit 0
if [ "$(id -u)" != 0 ]; then
	echo "needs root"
	exit 75
fi
if ! command -v debootstrap >/dev/null; then
	echo "debootstrap is not installed: make deps"
	exit 75
fi
part=$dir.part.$$
trap 'rm -rf "$part"' EXIT
trap 'exit 1' INT TERM
mkdir -p "$(dirname "$dir")"
if ! debootstrap --variant=minbase \
	--include=gcc,libc6-dev,make,python3,perl,procps,file,bzip2,xz-utils,bc${*:+,$(IFS=,; echo "$*")} \
	bookworm "$part" ${DEBIAN_MIRROR:-} >"$part.log" 2>&1; then
	echo "debootstrap failed: $(tail -1 "$part.log")"
	rm -f "$part.log"
	exit 75
fi
rm -rf "$part.log" "$part"/var/cache/apt/archives/*.deb "$part"/var/lib/apt/lists/*
mkdir -p "$part/work" "$part/scratch" "$part/tests"
chmod 1777 "$part/scratch"
: >"$part/.complete"
rm -rf "$dir"
mv "$part" "$dir"
