// Command consumer prints the element that the loader counts up, as `key value`:
//
//	consumer [-wait DURATION] [DIRECTORY]
//
// It needs no capability. With -wait it gives the loader that long to pin the map. The exit status is 0, or 1 if the map could
// not be read, or 64.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"
	"github.com/csi-driver-bpffs/csi-driver-bpffs/test/clients/example"
)

const retryInterval = 50 * time.Millisecond

func main() {
	wait := flag.Duration("wait", 0, "how long to wait for the pin")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: consumer [-wait DURATION] [DIRECTORY]")
	}
	flag.CommandLine.Init("consumer", flag.ContinueOnError)
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
	if err := run(filepath.Join(directory, example.Name), *wait); err != nil {
		fmt.Fprintf(os.Stderr, "consumer: %v\n", err)
		os.Exit(1)
	}
}

func run(pin string, wait time.Duration) error {
	m, err := open(pin, time.Now().Add(wait))
	if err != nil {
		return fmt.Errorf("%s: %w", pin, err)
	}
	defer m.Close()
	var count uint64
	if err := m.Lookup(example.Key, &count); err != nil {
		return fmt.Errorf("%s: %w", pin, err)
	}
	fmt.Println(example.Key, count)
	return nil
}

// open tries again while nothing is there, or only for its owner: the loader pins first, and lets others read after. Any
// other error is final.
func open(pin string, deadline time.Time) (*ebpf.Map, error) {
	for {
		m, err := ebpf.LoadPinnedMap(pin, &ebpf.LoadPinOptions{ReadOnly: true})
		notYet := errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission)
		if !notYet || time.Now().After(deadline) {
			return m, err
		}
		time.Sleep(retryInterval)
	}
}
