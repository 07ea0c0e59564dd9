#!/bin/bash
# node.sh DIRECTORY BIN: the first process of a node, in namespaces of its own. Makes them look like a machine that runs
# nothing but Kubernetes, says "ready", and from then on only waits for orphans. See node.ts.
set -eu
directory=$1
bin=$2
cd "$directory"
hostname "$NODE_NAME"

# Relative and not canonicalized: the directory itself may lie beneath /run or /var.
mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs /run
mkdir -p /run/cluster
mount --no-canonicalize --bind ./cluster /run/cluster
mount --no-canonicalize --bind "$bin" /run/cluster/bin
mount --no-canonicalize --bind ./var /var
mount -t bpf -o mode=0700 bpf /sys/fs/bpf

# The kubelet sets these of the whole machine. Here it finds files instead, with what it wants in them.
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
	kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
	file=/run/cluster/sysctl/${setting%=*}
	mkdir -p "${file%/*}"
	echo "${setting#*=}" >"$file"
	mount --bind "$file" "/proc/sys/${setting%=*}"
done
# The kernel lets a user namespace mount a proc only where a proc without anything mounted over it is in sight.
mount -t proc -o nosuid,nodev,noexec proc /run/cluster/proc
# As on a machine that systemd started: Bidirectional mounts of pods ask for it. Last, or else what is mounted beneath /var
# would appear beneath ./var too.
mount --make-rshared /

# No way out of here: both ends of the cable are in.
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
