// Command load plays the kubelet: it publishes and unpublishes volumes through any CSI node plugin's socket and measures
// how long each call takes.
//
// By default it makes --count pairs of NodePublishVolume and NodeUnpublishVolume, shared out among --callers, each volume
// with an id and a target of its own:
//
//	load --socket /run/csi.sock --target-dir /tmp/volumes --context maps=flows --callers 8 --connection new
//
// --call empty measures Identity.GetPluginInfo instead: what any call costs on that server. --call republish publishes all
// volumes first, and measures how each is published again unchanged, as the kubelet does every minute or two. --leave
// publishes volumes and leaves them there, --remove takes them away again.
//
// The exit status is 0, or 1 if a call failed, or 64 if a flag is wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	os.Exit(load(os.Args[1:], os.Stdout, os.Stderr))
}

func load(args []string, stdout, stderr io.Writer) int {
	cfg, err := parseConfig(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "load: %v\n", err)
		return 64
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// Not a deadline: that would go to the server with each call, and its answer could come before ours.
	ctx, cancel := context.WithCancelCause(ctx)
	defer time.AfterFunc(cfg.timeout, func() { cancel(fmt.Errorf("--timeout: not done after %v", cfg.timeout)) }).Stop()

	result, err := run(ctx, cfg)
	if result != nil {
		result.write(stdout, cfg.json)
	}
	if err != nil {
		fmt.Fprintf(stderr, "load: %v\n", err)
		return 1
	}
	return 0
}
