// Command bind is about the least that a CSI driver for inline volumes can be: each volume is the same directory, bind-mounted
// read-only. What it takes is the floor that others are compared with.
//
//	bind --endpoint /csi/csi.sock --source /empty
//
// With --registration, the path of a socket in the kubelet's plugins_registry, it also registers with the kubelet, which then
// calls it at --endpoint: that path must be the same for both.
package main

import (
	"errors"
	"flag"
	"io/fs"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

func main() {
	endpoint := flag.String("endpoint", "", "`path` of the CSI socket")
	source := flag.String("source", "", "`directory` that each volume shows")
	nodeID := flag.String("node-id", "node", "`name` of this node")
	name := flag.String("driver-name", "bind.bench.bpffs.dev", "`name` of the driver")
	registry := flag.String("registration", "", "`path` of a registration socket (default: none)")
	flag.Parse()
	if *endpoint == "" || *source == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(64)
	}
	server := grpc.NewServer()
	csi.RegisterIdentityServer(server, identity{name: *name})
	csi.RegisterNodeServer(server, node{id: *nodeID, source: *source})
	registration.RegisterRegistrationServer(server, registrar{name: *name, endpoint: *endpoint})

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-stop
		server.Stop()
	}()
	// The kubelet calls as soon as it sees the registration socket, so that comes last.
	sockets := []net.Listener{listen(*endpoint)}
	if *registry != "" {
		sockets = append(sockets, listen(*registry))
	}
	ended := make(chan error)
	for _, socket := range sockets {
		go func() { ended <- server.Serve(socket) }()
	}
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
}

// listen takes the place of a socket that a process before this one has left.
func listen(path string) net.Listener {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Fatal(err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	return listener
}
