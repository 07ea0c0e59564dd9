package main

import (
	"context"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
)

// step is one of the kinds of call that are made for each volume, in order.
type step struct {
	name string
	// request prepares the call; it is not measured.
	request func(volume) rpc
}

var (
	publish   = step{"publish", publishVolume}
	republish = step{"republish", publishVolume}
)

func publishVolume(v volume) rpc {
	request := v.publishRequest()
	return func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := csi.NewNodeClient(conn).NodePublishVolume(ctx, request)
		return err
	}
}

var unpublish = step{"unpublish", func(v volume) rpc {
	request := v.unpublishRequest()
	return func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := csi.NewNodeClient(conn).NodeUnpublishVolume(ctx, request)
		return err
	}
}}

var empty = step{"empty", func(volume) rpc {
	return func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := csi.NewIdentityClient(conn).GetPluginInfo(ctx, &csi.GetPluginInfoRequest{})
		return err
	}
}}
