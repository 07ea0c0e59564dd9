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
mkdir -p bin/apt/state/lists/partial bin/apt/cache/archives/partial bin/root
trap 'rm -rf bin/apt' EXIT

# The mirror that this machine uses, but not the one for security updates.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
if [ -z "$mirror" ]; then
	echo "fetch.sh: apt knows no mirror yet: run apt-get update first" >&2
	exit 1
fi
for suite in $release $release-backports; do
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
done >bin/apt/sources.list

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
	apt download bpftool/$release-backports xdp-tools libbpf1 libc6 libcap2 libelf1t64 libssl3t64 libxdp1 libzstd1 zlib1g
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
