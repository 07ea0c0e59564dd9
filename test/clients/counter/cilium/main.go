// Command cilium counts the frames of an interface, with github.com/cilium/ebpf. See ../../README.md:
//
//	counter-cilium OBJECT INTERFACE PINS
//
// It says nothing of BPF tokens: the library makes one by itself.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: counter-cilium OBJECT INTERFACE PINS")
		os.Exit(64)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintf(os.Stderr, "counter: %v\n", err)
		os.Exit(1)
	}
}

func run(object, device, pins string) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	spec, err := ebpf.LoadCollectionSpec(object)
	if err != nil {
		return err
	}
	collection, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: pins}})
	if err != nil {
		return err
	}
	defer collection.Close()
	target, err := net.InterfaceByName(device)
	if err != nil {
		return fmt.Errorf("%s: %w", device, err)
	}
	attached, err := link.AttachXDP(link.XDPOptions{Program: collection.Programs["count"], Interface: target.Index})
	if err != nil {
		return fmt.Errorf("%s: %w", device, err)
	}
	defer attached.Close()
	fmt.Println("attached")
	<-stop
	return nil
}
