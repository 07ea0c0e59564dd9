#!/bin/sh
# run.sh BINARY [ARGUMENT...]: runs a test binary as root on kernels of Debian, each in a virtual machine. It is cargo's
# runner. KERNELS lists the Debian suites to take kernels from; with "+selinux", the kernel enforces the policy selinux.cil,
# with the modules of deploy/selinux, and runs only TESTS_SELINUX.
#
# Debian never had a 5.15, the oldest supported kernel: bullseye's 5.10 stands in for it.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
binary=$1
shift
root=$here/cache/root
initrd=$here/cache/initrd.cpio
log=$here/cache/log
# The last machine's exit status: 124 on a timeout.
status=$here/cache/status

if [ "$(uname -m)" != x86_64 ]; then
	echo "run.sh: these kernels are for x86_64, and so would the tests have to be" >&2
	exit 1
fi

# The tests have the paths of pinner and helper compiled in, so they must be there.
pinner=$(dirname "$(dirname "$binary")")/bpffs-pinner
rm -rf "$root"
mkdir -p "$root/bin" "$root$(dirname "$pinner")"
cp /bin/busybox "$root/bin/busybox"
cp "$here/init" "$root/init"
cp "$binary" "$root/test"
cp "$pinner" "$root$pinner"
cp "${pinner%pinner}delegate" "$root${pinner%pinner}delegate"
# The oldest of these kernels knows version 33.
secilc --policyvers=33 --filecontext=/dev/null --output="$root/policy" "$here/selinux.cil" "$here"/../../deploy/selinux/*.cil
(cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null) >"$initrd"

# Without hardware support, so that it works the same everywhere, and without cx16, with which some emulators make newer
# kernels fault now and then.
boot() {
	kernel=$1
	parameters=$2
	shift 2
	{
		ended=0
		timeout 900 qemu-system-x86_64 -machine q35 -accel tcg -cpu max,-cx16 -smp 2 -m 1G -nodefaults -no-user-config \
			-display none -serial stdio -no-reboot -kernel "$kernel" -initrd "$initrd" \
			-append "console=ttyS0 panic=-1 quiet $parameters -- $*" </dev/null || ended=$?
		echo "$ended" >"$status"
	} | tr -d '\r' | tee "$log"
}

# Boots again if the kernel died: software emulation faults now and then, but not twice in a row. A machine that hangs gets
# no second chance.
boot_again() {
	boot "$@"
	if ! grep -q '^RESULT rc=' "$log" && [ "$(cat "$status")" != 124 ]; then
		printf '\033[1m==> %s died: once more\033[0m\n' "$name"
		died="$died$name died:
$(grep -m 1 -A 14 'BUG: \|Oops\|panic' "$log" || tail -n 5 "$log")
"
		boot "$@"
	fi
}

summary=
died=
failed=false
for entry in ${KERNELS:-bullseye bookworm trixie trixie-backports trixie+selinux trixie-backports+selinux}; do
	suite=${entry%+selinux}
	# Without the mirror, an old kernel will do.
	"$here/fetch.sh" "$suite" || [ -e "$here/cache/$suite/name" ]
	name=$(cat "$here/cache/$suite/name")
	printf '\033[1m==> Linux %s\033[0m\n' "$name"
	if [ "$suite" = "$entry" ]; then
		boot_again "$here/cache/$suite/vmlinuz" '' "$@"
	else
		name="$name, SELinux"
		boot_again "$here/cache/$suite/vmlinuz" 'security=selinux' "$@" ${TESTS_SELINUX-selinux::}
		# Without the policy everything would only be skipped.
		grep -q '^skipped: .*SELinux' "$log" && failed=true
	fi
	# The machine's exit status says nothing. Without this line, the kernel panicked or timed out.
	grep -qx 'RESULT rc=0' "$log" || failed=true
	result=$(sed -n 's/^test result: \([^;]*; [^;]*\);.*/\1/p' "$log")
	summary="$summary$name: ${result:-no result}; $(grep -c '^skipped: ' "$log" || :) skips
"
done
printf '%s%s' "$died" "$summary"
[ "$failed" = false ]
