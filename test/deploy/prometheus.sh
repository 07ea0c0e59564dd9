#!/bin/sh
# Fetches Prometheus and its promtool from Debian into bin/, and installs nothing. apt checks the signatures.
set -eu

cd "$(dirname "$0")"
scratch=$PWD/bin/prometheus.apt
rm -rf "$scratch"
mkdir -p "$scratch"
trap 'rm -rf "$scratch"' EXIT
if [ -z "$(find /var/lib/apt/lists -name '*Packages*' -print -quit)" ]; then
	apt-get update -qq
fi
(
	cd "$scratch"
	apt-get download -qq -o APT::Sandbox::User=root prometheus
)
dpkg-deb --extract "$scratch"/*.deb "$scratch/root"
mv "$scratch/root/usr/bin/prometheus" "$scratch/root/usr/bin/promtool" bin/
bin/promtool --version
