package main

import (
	"errors"
	"flag"
	"io"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
)

func TestFlagsBecomeAConfig(t *testing.T) {
	dir := t.TempDir()
	cfg, err := parseConfig([]string{"--socket", "/s", "--target-dir", dir, "--callers", "8", "--connection", "new",
		"--context", "maps=flows, limits:rw", "--context", "empty=", "--fs-group", "2000", "--access-mode", "SINGLE_NODE_MULTI_WRITER"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.callers != 8 || cfg.connection != connectionNew || cfg.fsGroup != "2000" || cfg.count != 1000 || cfg.first != 0 {
		t.Errorf("got %+v", cfg)
	}
	if cfg.context["maps"] != "flows, limits:rw" || cfg.context["empty"] != "" || len(cfg.context) != 2 {
		t.Errorf("context: %v", cfg.context)
	}
	if cfg.accessMode != csi.VolumeCapability_AccessMode_SINGLE_NODE_MULTI_WRITER {
		t.Errorf("access mode: %v", cfg.accessMode)
	}
}

func TestLeaveAndRemoveNameTheSameVolumes(t *testing.T) {
	dir := t.TempDir()
	for _, mode := range []string{"--leave", "--remove"} {
		cfg, err := parseConfig([]string{"--socket", "/s", "--target-dir", dir, mode, "5", "--callers", "8"}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if cfg.first != 1_000_000 || cfg.count != 5 || cfg.warmUp != 0 || cfg.callers != 5 {
			t.Errorf("%s: got %+v", mode, cfg)
		}
	}
}

func TestEmptyCallNeedsNoTargets(t *testing.T) {
	if _, err := parseConfig([]string{"--socket", "/s", "--call", "empty"}, io.Discard); err != nil {
		t.Error(err)
	}
}

func TestWrongFlags(t *testing.T) {
	valid := []string{"--socket", "/s", "--target-dir", t.TempDir()}
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"--socket", ""}, "--socket: is missing"},
		{[]string{"--target-dir", ""}, "--target-dir: is missing"},
		{[]string{"--target-dir", "/no/such/place"}, "--target-dir: stat /no/such/place: no such file or directory"},
		{[]string{"--target-dir", "/dev/null"}, "--target-dir: /dev/null is not a directory"},
		{[]string{"--call", "stage"}, `--call: "stage" is none of publish, republish, empty`},
		{[]string{"--connection", "old"}, `--connection: "old" is neither kept nor new`},
		{[]string{"--callers", "0"}, "--callers: 0 is not from 1 to 10000"},
		{[]string{"--callers", "32", "--count", "10"}, "--callers: 32 callers have only 10 calls"},
		{[]string{"--count", "0"}, "--count: 0 is not from 1"},
		{[]string{"--count", "1000001"}, "--count: 1000001 is not from 1 to 1000000"},
		{[]string{"--count", "many"}, "-count"},
		{[]string{"--warm-up", "-1"}, "--warm-up: -1 is not from 0"},
		{[]string{"--leave", "0"}, "--leave: must be at least 1"},
		{[]string{"--leave", "1", "--remove", "1"}, "--leave"},
		{[]string{"--leave", "1", "--count", "1"}, "--leave: says how many"},
		{[]string{"--remove", "1", "--call", "empty"}, "--remove: not together with --call empty"},
		{[]string{"--leave", "1", "--call", "republish"}, "--leave: not together with --call republish"},
		{[]string{"--context", "maps"}, "is not key=value"},
		{[]string{"--context", "=x"}, "is not key=value"},
		{[]string{"--context", "a=1", "--context", "a=2"}, "a is given twice"},
		{[]string{"--fs-group", "staff"}, `--fs-group: "staff" is not a group id`},
		{[]string{"--fs-group", "4294967296"}, "--fs-group"},
		{[]string{"--access-mode", "RWO"}, `--access-mode: "RWO" is none of MULTI_NODE_MULTI_WRITER, `},
		{[]string{"--access-mode", "UNKNOWN"}, "--access-mode"},
		{[]string{"--timeout", "0s"}, "--timeout: 0s is not positive"},
		{[]string{"--colour"}, "-colour"},
		{[]string{"extra"}, "extra: not a flag"},
	}
	for _, test := range tests {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			_, err := parseConfig(append(append([]string{}, valid...), test.args...), io.Discard)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, test.want)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	var usage strings.Builder
	if _, err := parseConfig([]string{"--help"}, &usage); !errors.Is(err, flag.ErrHelp) || !strings.Contains(usage.String(), "-target-dir") {
		t.Errorf("got %v and %q", err, usage.String())
	}
}
