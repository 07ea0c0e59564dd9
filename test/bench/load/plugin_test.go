package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// plugin is the smallest CSI node plugin: a volume is a directory. It notes what it is asked.
type plugin struct {
	csi.UnimplementedIdentityServer
	csi.UnimplementedNodeServer

	mu          sync.Mutex
	there       map[string]bool
	requests    []*csi.NodePublishVolumeRequest
	unpublished int
	emptyCalls  int
	connections int
	authorities map[string]bool
	// How many publishes succeed before all others fail; negative: no limit.
	allow int
}

// start serves a plugin and returns its socket.
func start(t *testing.T) (*plugin, string) {
	t.Helper()
	p := &plugin{there: map[string]bool{}, authorities: map[string]bool{}, allow: -1}
	socket := filepath.Join(t.TempDir(), "csi.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.StatsHandler(p), grpc.UnaryInterceptor(p.intercept))
	csi.RegisterIdentityServer(server, p)
	csi.RegisterNodeServer(server, p)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return p, socket
}

func (p *plugin) intercept(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// A call that was given up while it waited must not come after the one that undoes it.
	if err := ctx.Err(); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	md, _ := metadata.FromIncomingContext(ctx)
	for _, authority := range md.Get(":authority") {
		p.authorities[authority] = true
	}
	return handler(ctx, request)
}

func (p *plugin) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	p.emptyCalls++
	return &csi.GetPluginInfoResponse{Name: "test"}, nil
}

func (p *plugin) NodePublishVolume(_ context.Context, request *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	if p.allow == 0 {
		return nil, status.Error(codes.PermissionDenied, "map flows: no grant")
	}
	p.allow--
	p.requests = append(p.requests, request)
	// The parent must be there, and the target if the volume is.
	if err := os.Mkdir(request.TargetPath, 0o755); err != nil && !(errors.Is(err, os.ErrExist) && p.there[request.VolumeId]) {
		return nil, status.Error(codes.Internal, err.Error())
	}
	p.there[request.VolumeId] = true
	return &csi.NodePublishVolumeResponse{}, nil
}

func (p *plugin) NodeUnpublishVolume(_ context.Context, request *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	p.unpublished++
	delete(p.there, request.VolumeId)
	if err := os.Remove(request.TargetPath); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

func (p *plugin) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.connections++
	return ctx
}

func (p *plugin) HandleConn(context.Context, stats.ConnStats)                     {}
func (p *plugin) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (p *plugin) HandleRPC(context.Context, stats.RPCStats)                       {}
