#!/bin/sh
# fetch.sh SUITE: fetches the newest cloud kernel of a Debian suite into cache/SUITE/vmlinuz, and its name into
# cache/SUITE/name, unless that was done within a week. Cloud kernels boot in a virtual machine without any module. Installs
# nothing; apt checks the signatures.
set -eu

suite=$1
cd "$(dirname "$0")"
if [ -n "$(find "cache/$suite/name" -mtime -7 2>/dev/null)" ]; then
	exit 0
fi
scratch=$PWD/cache/$suite.apt
rm -rf "$scratch"
mkdir -p "$scratch/state/lists/partial" "$scratch/cache/archives/partial" "$scratch/root"
trap 'rm -rf "$scratch"' EXIT

# The mirror that this machine uses, the one with security updates left aside.
# shellcheck disable=SC2016 # for apt to expand
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
if [ -z "$mirror" ]; then
	echo "fetch.sh: apt knows no mirror yet: run apt-get update first" >&2
	exit 1
fi
echo "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$scratch/sources.list"

# A private apt configuration whose only source is that suite.
private() {
	tool=$1
	shift
	"$tool" -qq \
		-o Dir::Etc::sourcelist="$scratch/sources.list" -o Dir::Etc::sourceparts=- \
		-o Dir::State="$scratch/state" -o Dir::State::status=/dev/null -o Dir::Cache="$scratch/cache" \
		-o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
		-o APT::Sandbox::User=root "$@"
}

private apt-get update
image=$(private apt-cache pkgnames linux-image- | grep -E '^linux-image-[0-9].*-cloud-amd64$' | sort -V | tail -n 1)
if [ -z "$image" ]; then
	echo "fetch.sh: $suite has no cloud kernel" >&2
	exit 1
fi
# Since 6.19 the kernel is in a package that this one depends on.
binary=$(private apt-cache depends --important "$image" | sed -n 's/^ *Depends: \(linux-binary-.*\)/\1/p')
(
	cd "$scratch"
	# shellcheck disable=SC2086 # none, or one word
	private apt-get download "$image" $binary
)
for package in "$scratch"/*.deb; do
	dpkg-deb --extract "$package" "$scratch/root"
done
# In /boot, or lately in /usr/lib/modules.
kernel=$(find "$scratch/root" -type f -name 'vmlinuz*' -print -quit)
mkdir -p "cache/$suite"
mv "$kernel" "cache/$suite/vmlinuz"
echo "${image#linux-image-}" >"cache/$suite/name"
