package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
)

func TestAVolumeIsReadOnlyAndGoes(t *testing.T) {
	useOwnMounts(t)
	dir := t.TempDir()
	source, target := filepath.Join(dir, "source"), filepath.Join(dir, "target")
	if err := os.Mkdir(source, 0o755); err != nil {
		t.Fatal(err)
	}
	plugin := node{source: source}
	// The second time there is nothing to do.
	for range 2 {
		if _, err := plugin.NodePublishVolume(context.Background(), &csi.NodePublishVolumeRequest{TargetPath: target}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(target, "file"), 0o755); !errors.Is(err, unix.EROFS) {
		t.Errorf("a volume can be written: %v", err)
	}
	for range 2 {
		if _, err := plugin.NodeUnpublishVolume(context.Background(), &csi.NodeUnpublishVolumeRequest{TargetPath: target}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the target is left: %v", err)
	}
}

// useOwnMounts gives the test mounts of its own, so that it leaves none on the machine. Its thread ends with it.
func useOwnMounts(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Skipf("needs root: %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
}
