#!/bin/sh
# Runs bpfman-rpc, with a program that has two maps. Its paths are fixed, so give it a mount namespace of its own; nothing outside
# changes. Its database is on a tmpfs, as in its own deployment.
set -eu
here=$(dirname "$(realpath "$0")")
mount -t tmpfs -o mode=0755 bpfman /run
mkdir /run/upper /run/work
mount -t overlay bpfman -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work /etc
# It would ask sigstore for its keys, although no image is pulled.
mkdir -p /etc/bpfman
printf '[signing]\nverify_enabled = false\n' >/etc/bpfman/bpfman.toml
export LD_PRELOAD="$here/../bin/memlock.so" KUBE_NODE_NAME=local
"$here/../../tools/bin/bpfman" load file --path "$here/../bin/maps.bpf.o" --programs tcx:count --metadata bpfman.io/ProgramName=bench
exec "$here/../../tools/bin/bpfman-rpc" --csi-support --timeout 0
