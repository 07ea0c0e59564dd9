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
mkdir -p "$scratch/state/lists/partial" "$scratch/cache/archives/partial"
trap 'rm -rf "$scratch"' EXIT

# The mirror that this machine uses, but not the one for security updates.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
if [ -z "$mirror" ]; then
	echo "fetch.sh: apt knows no mirror yet: run apt-get update first" >&2
	exit 1
fi
echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $release main" >"$scratch/sources.list"

apt() {
	apt-get -qq \
		-o Dir::Etc::sourcelist="$scratch/sources.list" -o Dir::Etc::sourceparts=- \
		-o Dir::State="$scratch/state" -o Dir::State::status=/dev/null -o Dir::Cache="$scratch/cache" \
		-o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
		-o APT::Sandbox::User=root "$@"
}

apt update
(
	cd "$scratch"
	apt source --download-only libbpf
	mkdir source
	tar --extract --strip-components=1 --directory=source --file libbpf_*.orig.tar.gz
)
make --silent -C "$scratch/source/src" BUILD_STATIC_ONLY=1 OBJDIR="$scratch/objects" \
	PREFIX="$into" LIBDIR="$into/lib" INCLUDEDIR="$into/include" install install_uapi_headers >/dev/null
