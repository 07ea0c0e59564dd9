#!/usr/bin/env bash
# Builds the image into bin/image.tar, an OCI archive named localhost/csi-driver-bpffs:test, without pulling images: its base
# is made of Debian packages, its programs are those of `make build` in dist/. Needs root and Debian.
set -euo pipefail
cd "$(dirname "$0")/../.."

bin=$PWD/test/deploy/bin
name=localhost/csi-driver-bpffs:test
base=localhost/csi-driver-bpffs-base:1
debian=(buildah mmdebstrap)

storage() { buildah --root "$bin/storage" --runroot "$bin/storage-run" --storage-driver vfs "$@"; }

if ! dpkg-query --show "${debian[@]}" >/dev/null 2>&1; then
	apt-get update -qq
	apt-get install --yes -qq --no-install-recommends "${debian[@]}"
fi
mkdir -p "$bin"

if [ ! -e "$bin/base.tar" ]; then
	echo '==> Making a base image of Debian packages'
	suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
	sources=(/etc/apt/sources.list.d/debian.sources)
	[ -e "${sources[0]}" ] || sources=()
	mmdebstrap --quiet --variant=essential --include=binutils,libatomic1,libstdc++6 \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
		--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		"$suite" "$bin/base.new.tar" "${sources[@]}"
	mv "$bin/base.new.tar" "$bin/base.tar"
fi

# In place of the Dockerfile's stage `build`.
built=$(mktemp -d)
trap 'rm -rf "$built" "$bin/storage" "$bin/storage-run"' EXIT
root=$built/opt/csi-driver-bpffs
mkdir -p "$root/dist"
deploy/image/sbom.sh
cp dist/*.cjs dist/bpffs-pinner dist/bpffs-delegate dist/map dist/*.cdx.json "$root/dist/"
for node in node_modules/node-linux-*; do
	mkdir -p "$root/$node/bin"
	cp "$node/LICENSE" "$root/$node/"
	cp "$node/bin/node" "$root/$node/bin/"
done

container=$(storage from scratch)
storage add --quiet "$container" "$bin/base.tar" / >/dev/null
storage commit --quiet --rm "$container" "$base" >/dev/null
storage bud --quiet --isolation chroot --timestamp 0 --build-context "build=$built" \
	--build-arg NODE_IMAGE="$base" --build-arg RUST_IMAGE="$base" --build-arg DEBIAN_IMAGE="$base" --tag "$name" .
rm -f "$bin/image.tar"
storage push --quiet "$name" "oci-archive:$bin/image.tar:$name"
ls -lh "$bin/image.tar"
