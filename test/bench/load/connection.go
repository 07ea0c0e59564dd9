package main

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
)

// rpc makes one call, its request being ready.
type rpc func(ctx context.Context, conn grpc.ClientConnInterface) error

// dialer is how a caller reaches the server.
type dialer interface {
	// do makes the call. What it takes is what is measured.
	do(ctx context.Context, call rpc) error
	close()
}

func newDialer(ctx context.Context, cfg *config) (dialer, error) {
	if cfg.connection == connectionNew {
		return fresh{cfg.socket}, nil
	}
	return keep(ctx, cfg.socket)
}

// fresh connects for each call and disconnects after it, as the kubelet does.
type fresh struct {
	socket string
}

func (f fresh) do(ctx context.Context, call rpc) error {
	conn, err := dial(f.socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	return call(ctx, conn)
}

func (fresh) close() {}

// kept connects once.
type kept struct {
	conn *grpc.ClientConn
}

func keep(ctx context.Context, socket string) (dialer, error) {
	conn, err := dial(socket)
	if err != nil {
		return nil, err
	}
	conn.Connect()
	for state := conn.GetState(); state != connectivity.Ready; state = conn.GetState() {
		if state == connectivity.TransientFailure || !conn.WaitForStateChange(ctx, state) {
			conn.Close()
			return nil, fmt.Errorf("cannot connect: %w", reason(ctx, socket))
		}
	}
	return kept{conn}, nil
}

// reason finds out why a connection did not come about: a channel does not tell.
func reason(ctx context.Context, socket string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	conn.Close()
	return fmt.Errorf("%s does not speak gRPC", socket)
}

func (k kept) do(ctx context.Context, call rpc) error { return call(ctx, k.conn) }

func (k kept) close() { k.conn.Close() }

// dial connects at the first call, with the authority that a kubelet gives.
func dial(socket string) (*grpc.ClientConn, error) {
	return grpc.NewClient("unix:"+socket,
		grpc.WithAuthority("localhost"),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
}
