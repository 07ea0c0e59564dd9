package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/protobuf/proto"
)

func runLoad(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	status = load(args, &out, &errs)
	return status, out.String(), errs.String()
}

func parseReport(t *testing.T, text string) report {
	t.Helper()
	var result report
	if err := json.Unmarshal([]byte(text), &result); err != nil {
		t.Fatalf("%v: %q", err, text)
	}
	return result
}

func isEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("left in %s: %v (%v)", dir, entries, err)
	}
}

func TestPairs(t *testing.T) {
	for connection, connections := range map[string]int{connectionKept: 3, connectionNew: 2 * (40 + 10)} {
		t.Run(connection, func(t *testing.T) {
			plugin, socket := start(t)
			dir := t.TempDir()
			status, stdout, stderr := runLoad(t, "--socket", socket, "--target-dir", dir, "--callers", "3", "--count", "40", "--warm-up", "10",
				"--connection", connection, "--context", "maps=flows", "--fs-group", "2000", "--json")
			if status != 0 {
				t.Fatalf("status %d: %s", status, stderr)
			}
			result := parseReport(t, stdout)
			for _, call := range []string{"publish", "unpublish"} {
				c := result.Calls[call]
				if c.Count != 40 || c.Errors != 0 || c.P50 <= 0 || c.P50 > c.P90 || c.P90 > c.P99 || c.P99 > c.Max || c.PerSecond <= 0 {
					t.Errorf("%s: %+v", call, c)
				}
			}
			if len(plugin.requests) != 50 || plugin.unpublished != 50 {
				t.Errorf("published %d, unpublished %d", len(plugin.requests), plugin.unpublished)
			}
			if plugin.connections != connections {
				t.Errorf("%d connections, want %d", plugin.connections, connections)
			}
			if len(plugin.authorities) != 1 || !plugin.authorities["localhost"] {
				t.Errorf("authorities: %v", plugin.authorities)
			}
			isEmpty(t, dir)
		})
	}
}

func TestRequestsLookLikeAKubelets(t *testing.T) {
	plugin, socket := start(t)
	dir := t.TempDir()
	status, _, stderr := runLoad(t, "--socket", socket, "--target-dir", dir, "--count", "5", "--warm-up", "0", "--context", "maps=flows",
		"--context", "csi.storage.k8s.io/pod.namespace=prod", "--fs-group", "2000", "--read-only")
	if status != 0 {
		t.Fatal(stderr)
	}
	ids, uids := map[string]bool{}, map[string]bool{}
	for _, request := range plugin.requests {
		ids[request.VolumeId] = true
		uids[request.VolumeContext["csi.storage.k8s.io/pod.uid"]] = true
		if !regexp.MustCompile(`^csi-[0-9a-f]{64}$`).MatchString(request.VolumeId) {
			t.Errorf("id %q", request.VolumeId)
		}
		pod, isTarget := strings.CutSuffix(request.TargetPath, "/volumes/kubernetes.io~csi/load/mount")
		if !isTarget || filepath.Dir(pod) != dir {
			t.Errorf("target %q", request.TargetPath)
		}
		if request.VolumeCapability.GetMount().GetVolumeMountGroup() != "2000" || !request.Readonly ||
			request.VolumeCapability.AccessMode.Mode.String() != "SINGLE_NODE_WRITER" {
			t.Errorf("request: %v", request)
		}
		if c := request.VolumeContext; c["maps"] != "flows" || c["csi.storage.k8s.io/pod.namespace"] != "prod" ||
			c["csi.storage.k8s.io/serviceAccount.name"] != "default" || c["csi.storage.k8s.io/ephemeral"] != "true" || len(c) != 6 {
			t.Errorf("context: %v", c)
		}
	}
	if len(ids) != 5 || len(uids) != 5 {
		t.Errorf("5 volumes have %d ids and %d pods", len(ids), len(uids))
	}
}

func TestPodInfoCanBeLeftOut(t *testing.T) {
	plugin, socket := start(t)
	if status, _, stderr := runLoad(t, "--socket", socket, "--target-dir", t.TempDir(), "--count", "1", "--pod-info=false"); status != 0 {
		t.Fatal(stderr)
	}
	if c := plugin.requests[0].VolumeContext; len(c) != 0 {
		t.Errorf("context: %v", c)
	}
}

func TestEmptyCalls(t *testing.T) {
	plugin, socket := start(t)
	status, stdout, stderr := runLoad(t, "--socket", socket, "--call", "empty", "--count", "20", "--warm-up", "5")
	if status != 0 || !strings.Contains(stdout, "empty") || plugin.emptyCalls != 25 {
		t.Errorf("status %d, %d calls: %s%s", status, plugin.emptyCalls, stdout, stderr)
	}
}

func TestRepublish(t *testing.T) {
	plugin, socket := start(t)
	dir := t.TempDir()
	status, stdout, stderr := runLoad(t, "--socket", socket, "--target-dir", dir, "--call", "republish", "--callers", "3",
		"--count", "20", "--warm-up", "5", "--context", "maps=flows", "--json")
	if status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	calls := parseReport(t, stdout).Calls
	if len(calls) != 1 || calls["republish"].Count != 20 || calls["republish"].Errors != 0 {
		t.Errorf("calls: %+v", calls)
	}
	// All volumes are there before the first is published again.
	first := map[string]*csi.NodePublishVolumeRequest{}
	for _, request := range plugin.requests[:25] {
		first[request.VolumeId] = request
	}
	if len(first) != 25 || len(plugin.requests) != 50 || plugin.unpublished != 25 {
		t.Errorf("%d volumes, %d publishes, %d unpublishes", len(first), len(plugin.requests), plugin.unpublished)
	}
	for _, request := range plugin.requests[25:] {
		if !proto.Equal(request, first[request.VolumeId]) {
			t.Errorf("got %v, first %v", request, first[request.VolumeId])
		}
	}
	isEmpty(t, dir)
}

func TestAFailedRepublishLeavesNothing(t *testing.T) {
	plugin, socket := start(t)
	plugin.allow = 30
	dir := t.TempDir()
	status, _, stderr := runLoad(t, "--socket", socket, "--target-dir", dir, "--call", "republish", "--callers", "2",
		"--count", "20", "--warm-up", "5")
	if status != 1 || !strings.HasPrefix(stderr, "load: republish of csi-") {
		t.Errorf("status %d: %s", status, stderr)
	}
	isEmpty(t, dir)
}

func TestLeaveAndRemove(t *testing.T) {
	plugin, socket := start(t)
	dir := t.TempDir()
	common := []string{"--socket", socket, "--target-dir", dir, "--callers", "2", "--json"}
	status, stdout, stderr := runLoad(t, append(common, "--leave", "7")...)
	if status != 0 || parseReport(t, stdout).Calls["publish"].Count != 7 {
		t.Fatalf("status %d: %s%s", status, stdout, stderr)
	}
	if left, _ := filepath.Glob(dir + "/*/volumes/kubernetes.io~csi/load/mount"); len(left) != 7 {
		t.Errorf("left: %v", left)
	}
	// Pairs beside them are other volumes.
	if status, _, stderr := runLoad(t, append(common, "--count", "4", "--warm-up", "0")...); status != 0 {
		t.Fatal(stderr)
	}
	status, stdout, stderr = runLoad(t, append(common, "--remove", "7")...)
	if status != 0 || parseReport(t, stdout).Calls["unpublish"].Count != 7 {
		t.Fatalf("status %d: %s%s", status, stdout, stderr)
	}
	if plugin.unpublished != 11 {
		t.Errorf("unpublished %d", plugin.unpublished)
	}
	isEmpty(t, dir)
}

func TestAFailedCallStopsTheRun(t *testing.T) {
	plugin, socket := start(t)
	plugin.allow = 30
	dir := t.TempDir()
	status, stdout, stderr := runLoad(t, "--socket", socket, "--target-dir", dir, "--callers", "4", "--count", "1000", "--warm-up", "10", "--json")
	if status != 1 || !regexp.MustCompile(`^load: publish of csi-[0-9a-f]{64}: PermissionDenied: map flows: no grant\n$`).MatchString(stderr) {
		t.Errorf("status %d: %s", status, stderr)
	}
	// Up to three calls of the other callers may have been cut short.
	if c := parseReport(t, stdout).Calls["publish"]; c.Errors < 1 || c.Errors > 4 || c.Count < 17 || c.Count > 20 {
		t.Errorf("publish: %+v", c)
	}
	isEmpty(t, dir)
}

func TestNoServer(t *testing.T) {
	for _, connection := range []string{connectionKept, connectionNew} {
		status, _, stderr := runLoad(t, "--socket", filepath.Join(t.TempDir(), "none.sock"), "--call", "empty", "--connection", connection)
		if status != 1 || !strings.Contains(stderr, "none.sock") {
			t.Errorf("%s: status %d: %s", connection, status, stderr)
		}
	}
}

func TestTimeout(t *testing.T) {
	_, socket := start(t)
	status, _, stderr := runLoad(t, "--socket", socket, "--call", "empty", "--count", "1000000", "--timeout", "200ms")
	if status != 1 || !strings.Contains(stderr, "--timeout: not done after 200ms") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

func TestWrongFlagExits64(t *testing.T) {
	if status, _, stderr := runLoad(t); status != 64 || stderr != "load: --socket: is missing\n" {
		t.Errorf("status %d: %q", status, stderr)
	}
}
