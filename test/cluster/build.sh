#!/usr/bin/env bash
# Builds everything that a cluster on this machine runs into bin/: see README.md. Skips what was built from the same
# versions. Needs Go, and root to install missing Debian packages.
set -euo pipefail
cd "$(dirname "$0")"

version_of() { sed -n "s,^\t$1 \(v[^ ]*\).*,\1,p" go.mod; }
kubernetes=$(version_of k8s.io/kubernetes)
provisioner=$(version_of github.com/kubernetes-csi/external-provisioner/v6)
containerd=v2.3.7
runc=v1.5.2
debian=(busybox-static containernetworking-plugins gcc iproute2 libc6-dev libseccomp-dev nftables openssl pkg-config)

export GOBIN=$PWD/bin
export GOFLAGS="${GOFLAGS:-} -p=2 -trimpath"
renice --priority 10 $$ >/dev/null

say() { printf '\033[1m==> %s\033[0m\n' "$1"; }

# part NAME INPUTS COMMAND...: makes bin/NAME with the command, unless it exists from the same inputs, command and Go.
part() {
	local name=$1 mark
	mark=$(printf '%s\n' "$(go env GOVERSION)" "${@:2}" | sha256sum)
	if [ -x "bin/$name" ] && [ "$(cat "bin/.$name" 2>/dev/null)" = "$mark" ]; then
		return
	fi
	say "Building $name"
	rm -f "bin/.$name"
	"${@:3}"
	echo "$mark" >"bin/.$name"
}

install_packages() {
	dpkg-query --show "${debian[@]}" >/dev/null 2>&1 && return
	say 'Installing Debian packages'
	apt-get update -qq
	apt-get install --yes -qq --no-install-recommends "${debian[@]}"
}

# A server reports this version, and admission of newer fields depends on it.
kubernetes_flags() {
	local variable=k8s.io/component-base/version major minor
	IFS=. read -r major minor _ <<<"${kubernetes#v}"
	echo "-s -w -X $variable.gitVersion=$kubernetes -X $variable.gitMajor=$major -X $variable.gitMinor=$minor" \
		"-X $variable.gitTreeState=clean"
}

install_packages
mkdir -p bin
modules=$(cat go.mod go.sum kubernetes/main.go | sha256sum)
without='no_btrfs no_devmapper no_zfs no_aufs'

part kubernetes "$modules" \
	env CGO_ENABLED=0 go build -ldflags "$(kubernetes_flags)" -o bin/kubernetes ./kubernetes
for name in etcd kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubectl kubelet; do
	ln -sfn kubernetes "bin/$name"
done
part csi-provisioner "$modules" \
	env CGO_ENABLED=0 go build -ldflags "-s -w -X main.version=$provisioner" -o bin/csi-provisioner \
	github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner
for name in containerd containerd-shim-runc-v2 ctr; do
	part "$name" "$containerd" \
		env CGO_ENABLED=0 go install -tags "$without" -ldflags '-s -w' \
		"github.com/containerd/containerd/v2/cmd/$name@$containerd"
done
part runc "$runc" \
	env CGO_ENABLED=1 go install -tags 'seccomp urfave_cli_no_docs' -ldflags '-s -w' "github.com/opencontainers/runc@$runc"
part pause "$(cat pause.c)" \
	gcc -Os -Wall -Wextra -Werror -static -s -o bin/pause pause.c
