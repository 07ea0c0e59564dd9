#!/bin/sh
# Fetches bpftool and xdp-filter from Debian, with their libraries, into bin/root without installing anything; bin/bpftool runs
# bpftool with them. apt checks the signatures. Needs apt-get, dpkg-deb and Debian's keyring.
set -eu

release=trixie
cd "$(dirname "$0")"
scratch=$PWD/bin/apt
if [ -x bin/root/usr/sbin/xdp-filter ] && bin/bpftool version >/dev/null 2>&1; then
	exit 0
fi
rm -rf bin
mkdir -p bin/root
trap 'rm -rf bin/apt' EXIT
. ../../debian-suite.sh

take_from deb "$release"
take_from deb "$release-backports"
private apt-get update
(
	cd "$scratch"
	private apt-get download bpftool/$release-backports xdp-tools libbpf1 libc6 libcap2 libelf1t64 libssl3t64 libxdp1 libzstd1 zlib1g
)
for package in bin/apt/*.deb; do
	dpkg-deb --extract "$package" bin/root
done

cat >bin/bpftool <<'LAUNCHER'
#!/bin/sh
root=$(dirname "$0")/root
exec "$root"/usr/lib64/ld-linux-*.so.2 --library-path "$(echo "$root"/usr/lib/*-linux-gnu)" "$root/usr/sbin/bpftool" "$@"
LAUNCHER
chmod +x bin/bpftool
bin/bpftool version
