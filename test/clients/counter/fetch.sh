#!/bin/sh
# Fetches the source of a libbpf that knows BPF tokens from Debian, and compiles it into bin/libbpf/ without installing
# anything. apt checks the signatures. Needs apt-get, Debian's keyring, and what libbpf is compiled with.
set -eu

release=trixie
cd "$(dirname "$0")"
into=$PWD/bin/libbpf
scratch=$into/apt
if [ -e "$into/lib/libbpf.a" ]; then
	exit 0
fi
rm -rf "$into"
trap 'rm -rf "$scratch"' EXIT
. ../../debian-suite.sh

take_from deb-src "$release"
private apt-get update
(
	cd "$scratch"
	private apt-get source --download-only libbpf
	mkdir source
	tar --extract --strip-components=1 --directory=source --file libbpf_*.orig.tar.gz
)
make --silent -C "$scratch/source/src" BUILD_STATIC_ONLY=1 OBJDIR="$scratch/objects" \
	PREFIX="$into" LIBDIR="$into/lib" INCLUDEDIR="$into/include" install install_uapi_headers >/dev/null
