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
trap 'rm -rf "$scratch"' EXIT
. ../debian-suite.sh

take_from deb "$suite" arch=amd64
mkdir "$scratch/root"
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
