// Command cilium reads and writes a map of a volume with github.com/cilium/ebpf:
//
//	cilium [--lookup KEY] [--update KEY=VALUE [--expect-denied]] DIRECTORY NAME
//
// Keys and values are hexadecimal. The exit status is 0, or 1 if the kernel did not answer as expected, or 64.
package main

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

type options struct {
	path         string
	lookup       []byte
	key, value   []byte
	expectDenied bool
}

func main() {
	opts, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "cilium: %v\n", err)
		os.Exit(64)
	}
	if err := run(opts); err != nil {
		fmt.Fprintf(os.Stderr, "cilium: %s: %v\n", opts.path, err)
		os.Exit(1)
	}
}

func parse(args []string) (*options, error) {
	var opts options
	flags := flag.NewFlagSet("cilium", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Func("lookup", "`key` to look up, in place of all entries", func(text string) (err error) {
		opts.lookup, err = hex.DecodeString(text)
		return err
	})
	flags.Func("update", "`key=value` to write first", func(text string) (err error) {
		key, value, _ := strings.Cut(text, "=")
		if opts.key, err = hex.DecodeString(key); err != nil {
			return err
		}
		opts.value, err = hex.DecodeString(value)
		return err
	})
	flags.BoolVar(&opts.expectDenied, "expect-denied", false, "the update must be refused")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() != 2 {
		return nil, errors.New("usage: cilium [--lookup KEY] [--update KEY=VALUE [--expect-denied]] DIRECTORY NAME")
	}
	if opts.expectDenied && opts.key == nil {
		return nil, errors.New("--expect-denied needs --update")
	}
	opts.path = filepath.Join(flags.Arg(0), flags.Arg(1))
	return &opts, nil
}

func run(opts *options) error {
	// A map that may only be read is only opened if ReadOnly is asked for: the default asks for both.
	m, err := ebpf.LoadPinnedMap(opts.path, &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("open for reading: %w", err)
	}
	defer m.Close()
	if t := m.Type(); t != ebpf.Hash && t != ebpf.LRUHash && t != ebpf.Array {
		return fmt.Errorf("this client does not read a map of type %s", t)
	}
	if opts.key != nil {
		write := update
		if opts.expectDenied {
			write = updateDenied
		}
		if err := write(m, opts); err != nil {
			return err
		}
	}
	if opts.lookup != nil {
		return lookup(m, opts.lookup)
	}
	return dump(m)
}

func lookup(m *ebpf.Map, key []byte) error {
	value, err := m.LookupBytes(key)
	if err != nil {
		return fmt.Errorf("lookup: %w", err)
	}
	if value == nil {
		return fmt.Errorf("lookup: no entry %x", key)
	}
	fmt.Printf("%x %x\n", key, value)
	return nil
}

func dump(m *ebpf.Map) error {
	var key, value []byte
	entries := m.Iterate()
	for entries.Next(&key, &value) {
		fmt.Printf("%x %x\n", key, value)
	}
	if err := entries.Err(); err != nil {
		return fmt.Errorf("iterate: %w", err)
	}
	return nil
}

func update(_ *ebpf.Map, opts *options) error {
	m, err := ebpf.LoadPinnedMap(opts.path, nil)
	if err != nil {
		return fmt.Errorf("open for writing: %w", err)
	}
	defer m.Close()
	if err := m.Put(opts.key, opts.value); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	return nil
}

// updateDenied tries both ways to write: a descriptor of its own, and the one for reading.
func updateDenied(reading *ebpf.Map, opts *options) error {
	m, err := ebpf.LoadPinnedMap(opts.path, nil)
	if err == nil {
		m.Close()
	}
	if err := denied("open for writing", err); err != nil {
		return err
	}
	return denied("update through a read-only descriptor", reading.Put(opts.key, opts.value))
}

// denied makes an error of anything but a refusal, and reports the refusal.
func denied(what string, err error) error {
	if err == nil {
		return fmt.Errorf("%s: was not refused", what)
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) || errno != unix.EPERM && errno != unix.EACCES && errno != unix.EROFS {
		return fmt.Errorf("%s: failed, but was not refused: %w", what, err)
	}
	fmt.Fprintf(os.Stderr, "%s: refused with %s\n", what, unix.ErrnoName(errno))
	return nil
}
