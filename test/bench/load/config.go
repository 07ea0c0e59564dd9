package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
)

const (
	callPublish   = "publish"
	callRepublish = "republish"
	callEmpty     = "empty"

	connectionKept = "kept"
	connectionNew  = "new"

	maxVolumes = 1_000_000
)

// config is what the flags say. parseConfig makes it; nothing in it needs a second look.
type config struct {
	socket     string
	call       string
	connection string
	callers    int
	count      int
	warmUp     int
	// Publish this many volumes and leave them, or unpublish this many; at most one of the two.
	leave, remove int
	// The number of the first volume. Numbers make ids and targets.
	first      int
	targetDir  string
	idPrefix   string
	context    map[string]string
	podInfo    bool
	fsGroup    string
	readOnly   bool
	accessMode csi.VolumeCapability_AccessMode_Mode
	timeout    time.Duration
	json       bool
}

// parseConfig reads and checks the flags. An error is one line that names the flag to mend. Help goes to usage.
func parseConfig(args []string, usage io.Writer) (*config, error) {
	cfg := &config{context: map[string]string{}}
	var mode string
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&cfg.socket, "socket", "", "`path` of the plugin's CSI socket")
	flags.StringVar(&cfg.call, "call", callPublish, "what to measure: publish (and unpublish), republish (unchanged), or empty (GetPluginInfo)")
	flags.StringVar(&cfg.connection, "connection", connectionKept, "kept: each caller keeps one; new: one for each call, as the kubelet does")
	flags.IntVar(&cfg.callers, "callers", 1, "calls at the same time")
	flags.IntVar(&cfg.count, "count", 1000, "measured pairs (or other calls), all callers together")
	flags.IntVar(&cfg.warmUp, "warm-up", 100, "pairs (or other calls) before those, not measured")
	flags.IntVar(&cfg.leave, "leave", 0, "publish `n` volumes and leave them; if one fails, --remove takes away those before it")
	flags.IntVar(&cfg.remove, "remove", 0, "unpublish the `n` volumes that --leave left")
	flags.IntVar(&cfg.first, "first", 0, "number of the first volume (default 0, and 1000000 with --leave and --remove)")
	flags.StringVar(&cfg.targetDir, "target-dir", "", "existing `directory`; volumes are published at <directory>/<number>/volumes/kubernetes.io~csi/load/mount")
	flags.StringVar(&cfg.idPrefix, "volume-id-prefix", "csi-", "volume ids are this and 64 hexadecimal digits")
	flags.Var(pairs(cfg.context), "context", "`key=value` of the volume context; repeatable")
	flags.BoolVar(&cfg.podInfo, "pod-info", true, "add the kubelet's csi.storage.k8s.io/… keys, where --context does not give them")
	flags.StringVar(&cfg.fsGroup, "fs-group", "", "`gid` for volume_mount_group (default: none)")
	flags.BoolVar(&cfg.readOnly, "read-only", false, "publish with readonly set")
	flags.StringVar(&mode, "access-mode", "SINGLE_NODE_WRITER", "`name` of the CSI access mode")
	flags.DurationVar(&cfg.timeout, "timeout", 120*time.Second, "for everything together")
	flags.BoolVar(&cfg.json, "json", false, "print one JSON object instead of a table")

	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(usage, "Usage of load:")
		flags.SetOutput(usage)
		flags.PrintDefaults()
		return nil, err
	} else if err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("%s: not a flag; every setting is one", flags.Arg(0))
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	return cfg, cfg.check(given, mode)
}

func (cfg *config) check(given map[string]bool, mode string) error {
	if cfg.socket == "" {
		return errors.New("--socket: is missing")
	}
	if !slices.Contains([]string{callPublish, callRepublish, callEmpty}, cfg.call) {
		return fmt.Errorf("--call: %q is none of publish, republish, empty", cfg.call)
	}
	if cfg.connection != connectionKept && cfg.connection != connectionNew {
		return fmt.Errorf("--connection: %q is neither kept nor new", cfg.connection)
	}
	for _, number := range []struct {
		flag            string
		value, min, max int
	}{
		{"callers", cfg.callers, 1, 10_000},
		{"count", cfg.count, 1, maxVolumes},
		{"warm-up", cfg.warmUp, 0, maxVolumes},
		{"leave", cfg.leave, 0, maxVolumes},
		{"remove", cfg.remove, 0, maxVolumes},
		{"first", cfg.first, 0, 1_000_000_000},
	} {
		if number.value < number.min || number.value > number.max {
			return fmt.Errorf("--%s: %d is not from %d to %d", number.flag, number.value, number.min, number.max)
		}
	}
	if given["leave"] || given["remove"] {
		if err := cfg.checkLeaveRemove(given); err != nil {
			return err
		}
	}
	if cfg.callers > cfg.count {
		return fmt.Errorf("--callers: %d callers have only %d calls to make; lower it, or raise --count", cfg.callers, cfg.count)
	}
	if cfg.timeout <= 0 {
		return fmt.Errorf("--timeout: %v is not positive", cfg.timeout)
	}
	if cfg.fsGroup != "" {
		if _, err := strconv.ParseUint(cfg.fsGroup, 10, 32); err != nil {
			return fmt.Errorf("--fs-group: %q is not a group id", cfg.fsGroup)
		}
	}
	value, known := csi.VolumeCapability_AccessMode_Mode_value[mode]
	if !known || value == 0 {
		names := slices.Sorted(maps.Keys(csi.VolumeCapability_AccessMode_Mode_value))
		names = slices.DeleteFunc(names, func(name string) bool { return name == "UNKNOWN" })
		return fmt.Errorf("--access-mode: %q is none of %s", mode, strings.Join(names, ", "))
	}
	cfg.accessMode = csi.VolumeCapability_AccessMode_Mode(value)
	if cfg.call == callEmpty {
		return nil
	}
	return cfg.checkTargetDir()
}

// checkLeaveRemove settles what --leave and --remove mean for the other counts.
func (cfg *config) checkLeaveRemove(given map[string]bool) error {
	flag, other := "leave", "remove"
	if given["remove"] {
		flag, other = other, flag
	}
	switch {
	case given[other]:
		return fmt.Errorf("--%s: not together with --%s", flag, other)
	case cfg.call != callPublish:
		return fmt.Errorf("--%s: not together with --call %s", flag, cfg.call)
	case given["count"] || given["warm-up"]:
		return fmt.Errorf("--%s: says how many; not together with --count or --warm-up", flag)
	}
	cfg.count, cfg.warmUp = cfg.leave+cfg.remove, 0
	if cfg.count == 0 {
		return fmt.Errorf("--%s: must be at least 1", flag)
	}
	// A few volumes need no more callers than there are volumes.
	cfg.callers = min(cfg.callers, cfg.count)
	if !given["first"] {
		cfg.first = 1_000_000
	}
	return nil
}

func (cfg *config) checkTargetDir() error {
	if cfg.targetDir == "" {
		return errors.New("--target-dir: is missing")
	}
	absolute, err := filepath.Abs(cfg.targetDir)
	if err != nil {
		return fmt.Errorf("--target-dir: %w", err)
	}
	info, err := os.Stat(absolute)
	if err != nil {
		return fmt.Errorf("--target-dir: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("--target-dir: %s is not a directory", absolute)
	}
	cfg.targetDir = absolute
	return nil
}

// pairs is a repeatable key=value flag.
type pairs map[string]string

func (p pairs) String() string { return "" }

func (p pairs) Set(text string) error {
	key, value, found := strings.Cut(text, "=")
	if !found || key == "" {
		return errors.New("is not key=value")
	}
	if _, twice := p[key]; twice {
		return fmt.Errorf("%s is given twice", key)
	}
	p[key] = value
	return nil
}
