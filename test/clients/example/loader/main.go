// Command loader counts up an element of a pinned map, every 100 ms:
//
//	loader [-once] [DIRECTORY]
//
// It takes the map that is pinned in the directory, or makes and pins one. After its first count it prints the element as
// `key value`. It runs until it is killed; the pin stays, and the next loader counts on. The exit status is 1 if the kernel
// refused something, or 64.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"
	"github.com/csi-driver-bpffs/csi-driver-bpffs/test/clients/example"
)

const interval = 100 * time.Millisecond

func main() {
	once := flag.Bool("once", false, "count up once and exit")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: loader [-once] [DIRECTORY]")
	}
	flag.CommandLine.Init("loader", flag.ContinueOnError)
	if flag.CommandLine.Parse(os.Args[1:]) != nil {
		os.Exit(64)
	}
	if flag.NArg() > 1 {
		flag.Usage()
		os.Exit(64)
	}
	directory := example.Directory
	if flag.NArg() == 1 {
		directory = flag.Arg(0)
	}
	if err := run(directory, *once); err != nil {
		fmt.Fprintf(os.Stderr, "loader: %s: %v\n", directory, err)
		os.Exit(1)
	}
}

func run(directory string, once bool) error {
	m, err := findOrMake(directory)
	if err != nil {
		return err
	}
	defer m.Close()
	count, err := countUp(m)
	if err != nil {
		return err
	}
	fmt.Println(example.Key, count)
	for !once {
		time.Sleep(interval)
		if _, err := countUp(m); err != nil {
			return err
		}
	}
	return nil
}

func findOrMake(directory string) (*ebpf.Map, error) {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return nil, err
	}
	m, err := ebpf.NewMapWithOptions(example.Spec(), ebpf.MapOptions{PinPath: directory})
	if err != nil {
		return nil, err
	}
	if err := letOthersRead(filepath.Join(directory, example.Name)); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// letOthersRead opens a pin to readers of other users. The kernel makes pins 0600. Only that mode is changed: any other was
// chosen by whoever pinned the map. It is looked at even when the pin was found, for a loader may have died right after
// pinning it.
func letOthersRead(pin string) error {
	info, err := os.Stat(pin)
	if err != nil {
		return err
	}
	if info.Mode().Perm() != 0o600 {
		return nil
	}
	return os.Chmod(pin, 0o644)
}

// countUp is not atomic: one loader to a map.
func countUp(m *ebpf.Map) (uint64, error) {
	var count uint64
	if err := m.Lookup(example.Key, &count); err != nil {
		return 0, err
	}
	count++
	return count, m.Put(example.Key, count)
}
