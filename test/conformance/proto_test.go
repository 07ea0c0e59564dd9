package conformance

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	_ "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	_ "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

const protoDir = "../../proto"

// What the driver leaves out on purpose, and why it may.
var absent = map[string]map[protoreflect.FullName]string{
	"csi.proto": {
		"csi.v1.PluginCapability.volume_expansion":                      "sent by plugins only; maps do not grow",
		"csi.v1.PluginCapability.Service.Type.GROUP_CONTROLLER_SERVICE": "sent by plugins only; no volume groups here",
	},
	"registration.proto": {},
}

func TestProtoFilesMatchTheOfficialDescriptors(t *testing.T) {
	for name, explained := range absent {
		t.Run(name, func(t *testing.T) {
			for _, problem := range Compare(parse(t, name, read(t, name)), protoregistry.GlobalFiles, explained) {
				t.Error(problem)
			}
		})
	}
}

// Every kind of mistake, made in a copy, is found.
func TestMistakesAreFound(t *testing.T) {
	tests := []struct {
		name, file, old, new, want string
	}{
		{"method invented", "csi.proto", "rpc Probe(", "rpc Prob(", "csi.v1.Identity.Prob: does not exist officially"},
		{"service renamed", "csi.proto", "service Node {", "service Nodes {", "csi.v1.Nodes: does not exist officially"},
		{"input", "csi.proto", "rpc Probe(ProbeRequest)", "rpc Probe(NodeGetInfoRequest)", "csi.v1.Identity.Probe: input is csi.v1.NodeGetInfoRequest, officially csi.v1.ProbeRequest"},
		{"output", "csi.proto", "returns (ProbeResponse)", "returns (ProbeRequest)", "csi.v1.Identity.Probe: output is csi.v1.ProbeRequest, officially csi.v1.ProbeResponse"},
		{"client streaming", "csi.proto", "rpc Probe(", "rpc Probe(stream ", "csi.v1.Identity.Probe: client streaming is true, officially false"},
		{"server streaming", "registration.proto", "returns (PluginInfo)", "returns (stream PluginInfo)", "pluginregistration.Registration.GetInfo: server streaming is true, officially false"},
		{"message invented", "csi.proto", "message ProbeRequest {}", "message ProbeRequest {}\nmessage Extra {}", "csi.v1.Extra: does not exist officially"},
		{"field renamed", "csi.proto", "string volume_path = 2", "string volume_pth = 2", "csi.v1.NodeGetVolumeStatsRequest.volume_pth: does not exist officially"},
		{"field forgotten", "csi.proto", "string volume_path = 2;", "", "csi.v1.NodeGetVolumeStatsRequest.volume_path: exists officially, but not here"},
		{"field number", "csi.proto", "string volume_path = 2", "string volume_path = 12", "csi.v1.NodeGetVolumeStatsRequest.volume_path: number is 12, officially 2"},
		{"field kind", "csi.proto", "int64 available = 1", "uint64 available = 1", "csi.v1.VolumeUsage.available: kind is uint64, officially int64"},
		{"cardinality", "csi.proto", "repeated VolumeUsage usage", "VolumeUsage usage", "csi.v1.NodeGetVolumeStatsResponse.usage: cardinality is optional, officially repeated"},
		{"presence", "registration.proto", "string error = 2", "optional string error = 2", "pluginregistration.RegistrationStatus.error: explicit presence is true, officially false"},
		{"message type", "csi.proto", "Topology accessible_topology = 3", "VolumeUsage accessible_topology = 3", "csi.v1.NodeGetInfoResponse.accessible_topology: type is csi.v1.VolumeUsage, officially csi.v1.Topology"},
		{"enum type", "csi.proto", "Unit unit = 4", "VolumeCapability.AccessMode.Mode unit = 4", "csi.v1.VolumeUsage.unit: type is csi.v1.VolumeCapability.AccessMode.Mode, officially csi.v1.VolumeUsage.Unit"},
		{"map values", "csi.proto", "map<string, string> segments", "map<string, int64> segments", "csi.v1.Topology.SegmentsEntry.value: kind is int64, officially string"},
		{"no map", "csi.proto", "map<string, string> segments", "repeated string segments", "csi.v1.Topology.segments: map is false, officially true"},
		{"oneof", "csi.proto", "oneof access_type", "oneof access_kind", "csi.v1.VolumeCapability.block: oneof is access_kind, officially access_type"},
		{"secret shown", "csi.proto", "secrets = 7 [(csi_secret) = true]", "secrets = 7", "csi.v1.NodePublishVolumeRequest.secrets: csi_secret is false, officially true"},
		{"secret invented", "csi.proto", "string target_path = 4", "string target_path = 4 [(csi_secret) = true]", "csi.v1.NodePublishVolumeRequest.target_path: csi_secret is true, officially false"},
		{"number in a nested message", "csi.proto", "string snapshot_id = 1", "string snapshot_id = 2", "csi.v1.VolumeContentSource.SnapshotSource.snapshot_id: number is 2, officially 1"},
		{"nested message invented", "csi.proto", "message BlockVolume {}", "message BlockVolume {}\n  message Block {}", "csi.v1.VolumeCapability.Block: does not exist officially"},
		{"field of a nested message forgotten", "csi.proto", "VolumeStatus status = 2;", "", "csi.v1.ListVolumesResponse.Entry.status: exists officially, but not here"},
		{"reserved field used", "csi.proto", "reserved 2;", "string condition = 2;", "csi.v1.ListVolumesResponse.VolumeStatus.condition: does not exist officially"},
		{"reserved enum value used", "csi.proto", "reserved 11;\n      UNKNOWN = 0;", "UNKNOWN = 0;\n      VOLUME_CONDITION = 11;", "csi.v1.ControllerServiceCapability.RPC.Type.VOLUME_CONDITION: does not exist officially"},
		{"enum value number", "csi.proto", "INODES = 2;", "INODES = 3;", "csi.v1.VolumeUsage.Unit.INODES: number is 3, officially 2"},
		{"enum value invented", "csi.proto", "INODES = 2;", "INODES = 2; BLOCKS = 3;", "csi.v1.VolumeUsage.Unit.BLOCKS: does not exist officially"},
		{"enum value forgotten", "csi.proto", "INODES = 2;", "", "csi.v1.VolumeUsage.Unit.INODES: exists officially, but not here"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text := read(t, test.file)
			if times := strings.Count(text, test.old); times != 1 {
				t.Fatalf("%s contains %q %d times, not once: mend this test", test.file, test.old, times)
			}
			mutated := parse(t, test.file, strings.Replace(text, test.old, test.new, 1))
			problems := Compare(mutated, protoregistry.GlobalFiles, absent[test.file])
			for _, problem := range problems {
				if problem == test.want {
					return
				}
			}
			t.Errorf("not found: %s\nfound: %s", test.want, strings.Join(problems, "\n       "))
		})
	}
}

// No field can lose its csi_secret unnoticed.
func TestEverySecretIsGuarded(t *testing.T) {
	const mark = " [(csi_secret) = true]"
	parts := strings.Split(read(t, "csi.proto"), mark)
	if len(parts) != 6 {
		t.Errorf("%d fields are secret", len(parts)-1)
	}
	for i := 1; i < len(parts); i++ {
		shown := strings.Join(parts[:i], mark) + strings.Join(parts[i:], mark)
		problems := Compare(parse(t, "csi.proto", shown), protoregistry.GlobalFiles, absent["csi.proto"])
		if len(problems) != 1 || !strings.HasSuffix(problems[0], "csi_secret is false, officially true") {
			t.Errorf("secret %d: got %q", i, problems)
		}
	}
}

func TestStaleAbsenceIsFound(t *testing.T) {
	stale := map[protoreflect.FullName]string{"pluginregistration.PluginInfo.name": "it is there"}
	problems := Compare(parse(t, "registration.proto", read(t, "registration.proto")), protoregistry.GlobalFiles, stale)
	if len(problems) != 1 || !strings.Contains(problems[0], "listed as absent") {
		t.Errorf("got %q", problems)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(protoDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// parse compiles a .proto file from its text, as protoc would, without one.
func parse(t *testing.T, name, text string) protoreflect.FileDescriptor {
	t.Helper()
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: func(path string) (io.ReadCloser, error) {
			if path != name {
				return nil, os.ErrNotExist
			}
			return io.NopCloser(strings.NewReader(text)), nil
		},
	})}
	files, err := compiler.Compile(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return files[0]
}
