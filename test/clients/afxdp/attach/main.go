// Command attach makes an interface hand its frames to the sockets of an xskmap, until SIGTERM:
//
//	attach -map PATH -interface NAME
//
// This is the privileged half of AF_XDP. It prints `attached` when it is done. Frames of a queue that has no socket in the map
// go to the kernel as ever. The exit status is 0, or 1 if the kernel refused something, or 64.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

func main() {
	flag.CommandLine.Init("attach", flag.ContinueOnError)
	pin := flag.String("map", "", "`path` of the pinned xskmap")
	device := flag.String("interface", "", "`name` of the interface")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: attach -map PATH -interface NAME")
	}
	if flag.CommandLine.Parse(os.Args[1:]) != nil {
		os.Exit(64)
	}
	if *pin == "" || *device == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(64)
	}
	if err := run(*pin, *device); err != nil {
		fmt.Fprintf(os.Stderr, "attach: %v\n", err)
		os.Exit(1)
	}
}

func run(pin, device string) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	// A program only reads from an xskmap, so a pin that may only be read will do.
	m, err := ebpf.LoadPinnedMap(pin, &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("%s: %w", pin, err)
	}
	defer m.Close()
	program, err := redirectTo(m)
	if err != nil {
		return fmt.Errorf("%s: %w", pin, err)
	}
	defer program.Close()
	target, err := net.InterfaceByName(device)
	if err != nil {
		return fmt.Errorf("%s: %w", device, err)
	}
	// Generic mode is above the driver: it works with any. The link goes when its descriptor is closed, however this ends.
	attached, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: target.Index, Flags: link.XDPGenericMode})
	if err != nil {
		return fmt.Errorf("%s: %w", device, err)
	}
	defer attached.Close()
	fmt.Println("attached")
	<-stop
	return nil
}

// redirectTo loads `return bpf_redirect_map(&m, ctx->rx_queue_index, XDP_PASS)`.
func redirectTo(m *ebpf.Map) (*ebpf.Program, error) {
	const (
		rxQueueIndex = 16 // its offset in struct xdp_md
		xdpPass      = 2
	)
	return ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:    "to_xskmap",
		Type:    ebpf.XDP,
		License: "Apache-2.0",
		Instructions: asm.Instructions{
			asm.LoadMem(asm.R2, asm.R1, rxQueueIndex, asm.Word),
			asm.LoadMapPtr(asm.R1, m.FD()),
			asm.Mov.Imm(asm.R3, xdpPass),
			asm.FnRedirectMap.Call(),
			asm.Return(),
		},
	})
}
