// Command afxdp receives frames through AF_XDP, with an xskmap that somebody else made, and with nothing but CAP_NET_RAW:
//
//	afxdp -map PATH -interface NAME [-queue N] [-count N] [-timeout DURATION]
//
// It puts its socket into the map pinned at PATH, under the number of the queue, and prints `ready`; then for each datagram
// `udp <destination port> <payload>`. The exit status is 0 after -count datagrams, or 1 if the kernel refused something or
// fewer came in time, or 64.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/cilium/ebpf"
)

type options struct {
	pin, device string
	queue       uint
	count       int
	timeout     time.Duration
}

func main() {
	opts, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "afxdp: %v\n", err)
		os.Exit(64)
	}
	if err := run(opts); err != nil {
		fmt.Fprintf(os.Stderr, "afxdp: %v\n", err)
		os.Exit(1)
	}
}

func parse(args []string) (*options, error) {
	var opts options
	flags := flag.NewFlagSet("afxdp", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&opts.pin, "map", "", "`path` of the pinned xskmap")
	flags.StringVar(&opts.device, "interface", "", "`name` of the interface to receive from")
	flags.UintVar(&opts.queue, "queue", 0, "its queue")
	flags.IntVar(&opts.count, "count", 1, "datagrams to receive before exiting")
	flags.DurationVar(&opts.timeout, "timeout", 10*time.Second, "how long to wait for the queue and for them")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if opts.pin == "" || opts.device == "" || flags.NArg() > 0 {
		return nil, errors.New("usage: afxdp -map PATH -interface NAME [-queue N] [-count N] [-timeout DURATION]")
	}
	return &opts, nil
}

func run(opts *options) error {
	device, err := net.InterfaceByName(opts.device)
	if err != nil {
		return fmt.Errorf("%s: %w", opts.device, err)
	}
	deadline := time.Now().Add(opts.timeout)
	s, err := newSocket(uint32(device.Index), uint32(opts.queue), deadline)
	if err != nil {
		return fmt.Errorf("%s: %w", opts.device, err)
	}
	if err := register(s, opts); err != nil {
		return fmt.Errorf("%s: %w", opts.pin, err)
	}
	fmt.Println("ready")
	for received := 0; received < opts.count; {
		err := s.receive(deadline, func(frame []byte) {
			if port, payload, ok := udp(frame); ok {
				// A line stays a line if it was sent as one.
				fmt.Printf("udp %d %s\n", port, bytes.TrimSuffix(payload, []byte("\n")))
				received++
			}
		})
		if err != nil {
			return fmt.Errorf("%d of %d datagrams received: %w", received, opts.count, err)
		}
	}
	return nil
}

// register makes the socket the one that frames of this queue are redirected to. The kernel asks for no capability here: the
// descriptor of the map is enough, if it is open for writing.
func register(s *socket, opts *options) error {
	m, err := ebpf.LoadPinnedMap(opts.pin, nil)
	if err != nil {
		return fmt.Errorf("open for writing: %w", err)
	}
	// The pin keeps the map, and the map lets go of the socket when that is closed: the descriptor has done its work.
	defer m.Close()
	if m.Type() != ebpf.XSKMap {
		return fmt.Errorf("is of type %s, not an xskmap", m.Type())
	}
	return m.Put(uint32(opts.queue), uint32(s.fd))
}
