#!/bin/sh
# Lays out the image's root directory: the programs, the shared libraries of this Debian that Node needs, and these
# libraries' package data and licences, for scanners and lawyers.
set -eu
root=$1
app=$root/opt/csi-driver-bpffs

mkdir -p "$app/bin" "$app/dist" "$app/seccomp" "$root/etc" "$root/usr/lib" "$root/usr/lib64" "$root/var/lib/dpkg/status.d"
ln -s usr/lib "$root/lib"
ln -s usr/lib64 "$root/lib64"

strip --strip-all -o "$app/bin/node" /node/node
chmod 755 "$app/bin/node"
install -m 644 /node/LICENSE "$app/bin/node.LICENSE"
install -m 644 /dist/*.cjs /dist/*.cdx.json "$app/dist"
install -m 755 /dist/bpffs-pinner /dist/bpffs-delegate "$app/dist"
install -m 644 /seccomp/bpf-consumer.json /seccomp/bpf-loader.json /seccomp/install.ts "$app/seccomp"
install -m 644 /LICENSE "$app"
ln -s ../dist/bpffs-pinner "$app/bin/bpffs-pinner"
ln -s ../dist/bpffs-delegate "$app/bin/bpffs-delegate"
# A small program that uses maps, for docs/tutorial.md.
install -m 755 /dist/map "$app/bin/map"

# For `kubectl exec … -- csi-driver-bpffs doctor`; such a shebang line passes no flags to Node, and none are needed.
cat >"$app/bin/csi-driver-bpffs" <<'LAUNCHER'
#!/opt/csi-driver-bpffs/bin/node
require('../dist/csi-driver-bpffs.cjs');
LAUNCHER
chmod 755 "$app/bin/csi-driver-bpffs"

cat >"$root/etc/passwd" <<'PASSWD'
root:x:0:0:root:/:/none
csi-driver-bpffs:x:65532:65532:csi-driver-bpffs:/:/none
PASSWD
printf 'root:x:0:\ncsi-driver-bpffs:x:65532:\n' >"$root/etc/group"
cp /etc/os-release "$root/etc/os-release"

# The loader is the line without an arrow: "/lib64/ld-linux-x86-64.so.2 (0x…)".
ldd /node/node | sed -nE 's,^[^/]*(/[^ ]+) \(0x.*,\1,p' | while read -r library; do
	case $library in
	/usr/*) target=$root$library ;;
	*) target=$root/usr$library ;;
	esac
	mkdir -p "$(dirname "$target")"
	cp --dereference "$library" "$target"
	# Where /lib is /usr/lib, dpkg knows a file by only one of the two paths.
	package=$(dpkg --search "$(realpath "$library")" "$(realpath "$library" | sed 's,^/usr,,')" 2>/dev/null |
		sed -n '1s/:.*//p') || true
	[ -n "$package" ] || { echo "no package has $library" >&2 && exit 1; }
	dpkg --status "$package" | sed '/^Conffiles:/,/^[A-Z]/{/^Conffiles:/d;/^ /d}' >"$root/var/lib/dpkg/status.d/$package"
	mkdir -p "$root/usr/share/doc/$package"
	cp --dereference "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/"
done

# Fails here if something would be missing at run time.
chroot "$root" /opt/csi-driver-bpffs/bin/csi-driver-bpffs --version
chroot "$root" /opt/csi-driver-bpffs/bin/bpffs-pinner --version
