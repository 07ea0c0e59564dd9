package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"

	"github.com/container-storage-interface/spec/lib/go/csi"
)

// volume is one of the numbered volumes. All that it is follows from its number, so that another run finds it again.
type volume struct {
	cfg    *config
	number int
}

// id is as long as a kubelet's id of an inline volume.
func (v volume) id() string {
	return v.cfg.idPrefix + v.digest("volume")
}

func (v volume) digest(of string) string {
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%s %d", of, v.number)))
}

// pod is where a kubelet keeps the volumes of a pod, and here it has no other: a plugin may look at those beside it.
func (v volume) pod() string {
	return filepath.Join(v.cfg.targetDir, strconv.Itoa(v.number))
}

func (v volume) parent() string {
	return filepath.Join(v.pod(), "volumes", "kubernetes.io~csi", "load")
}

func (v volume) target() string {
	return filepath.Join(v.parent(), "mount")
}

func (v volume) publishRequest() *csi.NodePublishVolumeRequest {
	return &csi.NodePublishVolumeRequest{
		VolumeId:   v.id(),
		TargetPath: v.target(),
		VolumeCapability: &csi.VolumeCapability{
			AccessType: &csi.VolumeCapability_Mount{
				Mount: &csi.VolumeCapability_MountVolume{VolumeMountGroup: v.cfg.fsGroup},
			},
			AccessMode: &csi.VolumeCapability_AccessMode{Mode: v.cfg.accessMode},
		},
		Readonly:      v.cfg.readOnly,
		VolumeContext: v.context(),
	}
}

func (v volume) unpublishRequest() *csi.NodeUnpublishVolumeRequest {
	return &csi.NodeUnpublishVolumeRequest{VolumeId: v.id(), TargetPath: v.target()}
}

// context is what the flags say, over what a kubelet says of an inline volume's pod. Each volume has a pod of its own.
func (v volume) context() map[string]string {
	context := map[string]string{}
	if v.cfg.podInfo {
		uid := v.digest("pod")
		context["csi.storage.k8s.io/pod.name"] = "load-" + strconv.Itoa(v.number)
		context["csi.storage.k8s.io/pod.namespace"] = "default"
		context["csi.storage.k8s.io/pod.uid"] = uid[:8] + "-" + uid[8:12] + "-4" + uid[13:16] + "-8" + uid[17:20] + "-" + uid[20:32]
		context["csi.storage.k8s.io/serviceAccount.name"] = "default"
		context["csi.storage.k8s.io/ephemeral"] = "true"
	}
	maps.Copy(context, v.cfg.context)
	return context
}

// makeParent does what the kubelet does before it publishes.
func (v volume) makeParent() error {
	return os.MkdirAll(v.parent(), 0o750)
}

// removeParent does what the kubelet does after it has unpublished: some plugins leave the target directory behind. It
// removes empty directories only, so a volume that is still there stays, and is the error.
func (v volume) removeParent() error {
	for directory := v.target(); directory != v.cfg.targetDir; directory = filepath.Dir(directory) {
		if err := os.Remove(directory); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("left behind: %w", err)
		}
	}
	return nil
}
