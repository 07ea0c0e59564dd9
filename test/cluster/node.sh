#!/bin/bash
# node.sh DIRECTORY BIN: the first process of a node, in its own namespaces. Makes them look like a machine that runs only
# Kubernetes, prints "ready", and then only reaps orphans. See node.ts.
set -eu
directory=$1
bin=$2
cd "$directory"
hostname "$NODE_NAME"

# Relative and not canonicalized, because the directory itself may lie beneath /run or /var.
mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs /run
mkdir -p /run/cluster
mount --no-canonicalize --bind ./cluster /run/cluster
mount --no-canonicalize --bind "$bin" /run/cluster/bin
mount --no-canonicalize --bind ./var /var
mount -t bpf -o mode=0700 bpf /sys/fs/bpf

# The kubelet would set these for the whole machine. Here it finds files that already have its values.
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
	kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
	file=/run/cluster/sysctl/${setting%=*}
	mkdir -p "${file%/*}"
	echo "${setting#*=}" >"$file"
	mount --bind "$file" "/proc/sys/${setting%=*}"
done
# A user namespace can mount a proc only if it sees one with nothing mounted over it.
mount -t proc -o nosuid,nodev,noexec proc /run/cluster/proc
# As systemd does, and as Bidirectional mounts of pods require. Last, because otherwise mounts beneath /var would appear
# beneath ./var too.
mount --make-rshared /

# Both ends of the cable are inside, so nothing leads out.
ip link set lo up
ip link add eth0 type veth peer name eth1
ip address add "$NODE_ADDRESS/24" dev eth0
ip link set eth0 up
ip link set eth1 up
ip route add default dev eth0
echo 1 >/proc/sys/net/ipv4/ip_forward

: >/run/cluster/ready
while :; do
	sleep infinity &
	wait $!
done
