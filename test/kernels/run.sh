#!/bin/sh
# run.sh BINARY [ARGUMENT...]: runs a test binary as root inside kernels of Debian, each in a virtual machine. Cargo calls
# this in place of the binary. KERNELS chooses the suites that the kernels are from; with "+selinux", the kernel enforces the
# policy selinux.cil, and runs the tests TESTS_SELINUX, those that are about that.
#
# Debian never had a 5.15, the oldest kernel that is supported: 5.10 of bullseye stands in for it.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
binary=$1
shift
root=$here/cache/root
initrd=$here/cache/initrd.cpio
log=$here/cache/log
# How the last machine ended: 124 if its time was up.
status=$here/cache/status

if [ "$(uname -m)" != x86_64 ]; then
	echo "run.sh: these kernels are for x86_64, and so would the tests have to be" >&2
	exit 1
fi

# The tests were told at compile time where the pinner is, so there it must be.
pinner=$(dirname "$(dirname "$binary")")/bpffs-pinner
rm -rf "$root"
mkdir -p "$root/bin" "$root$(dirname "$pinner")"
cp /bin/busybox "$root/bin/busybox"
cp "$here/init" "$root/init"
cp "$binary" "$root/test"
cp "$pinner" "$root$pinner"
# The oldest of these kernels knows version 33.
secilc --policyvers=33 --filecontext=/dev/null --output="$root/policy" "$here/selinux.cil"
(cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null) >"$initrd"

# Hardware support is left aside, so that it is the same everywhere. And -cx16, with which some emulators make newer
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

# The same, and once more if the kernel died: software emulation makes one fault now and then, but not twice in a row by chance.
# One that hangs is not given a second chance.
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
	# Without the mirror, one that was fetched long ago will do.
	"$here/fetch.sh" "$suite" || [ -e "$here/cache/$suite/name" ]
	name=$(cat "$here/cache/$suite/name")
	printf '\033[1m==> Linux %s\033[0m\n' "$name"
	if [ "$suite" = "$entry" ]; then
		boot_again "$here/cache/$suite/vmlinuz" '' "$@"
	else
		name="$name, SELinux"
		boot_again "$here/cache/$suite/vmlinuz" 'security=selinux' "$@" ${TESTS_SELINUX-selinux::}
		# That the policy is not there would be nothing but skipped otherwise.
		grep -q '^skipped: .*SELinux' "$log" && failed=true
	fi
	# The exit status of the machine says nothing. No such line: the kernel panicked, or the time was up.
	grep -qx 'RESULT rc=0' "$log" || failed=true
	result=$(sed -n 's/^test result: \([^;]*; [^;]*\);.*/\1/p' "$log")
	summary="$summary$name: ${result:-no result}; $(grep -c '^skipped: ' "$log" || :) skips
"
done
printf '%s%s' "$died" "$summary"
[ "$failed" = false ]
