package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// run does what the flags ask. The report is nil if nothing was measured; with an error beside it, it covers what was done
// until then.
func run(ctx context.Context, cfg *config) (_ *report, err error) {
	kinds := steps(cfg)
	total := cfg.warmUp + cfg.count
	if takesAway := kinds[len(kinds)-1].name == unpublish.name; takesAway {
		defer func() { err = errors.Join(err, removeParents(cfg, total)) }()
	}
	if adds := kinds[0].name == publish.name; adds {
		if err := makeParents(ctx, cfg, total); err != nil {
			return nil, err
		}
	}

	callers := make([]*caller, cfg.callers)
	for i := range callers {
		dialer, err := newDialer(ctx, cfg)
		if err != nil {
			return nil, err
		}
		defer dialer.close()
		callers[i] = &caller{cfg: cfg, dialer: dialer, steps: kinds}
	}
	if err := newPhase(cfg.first, cfg.warmUp, kinds).run(ctx, callers); err != nil {
		return nil, err
	}
	// The garbage of the warm-up is not to be collected at the expense of the measured calls.
	runtime.GC()
	measured := newPhase(cfg.first+cfg.warmUp, cfg.count, kinds)
	err = measured.run(ctx, callers)
	return measured.report(cfg), err
}

func makeParents(ctx context.Context, cfg *config, total int) error {
	for number := range total {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := (volume{cfg, cfg.first + number}).makeParent(); err != nil {
			return err
		}
	}
	return nil
}

// removeParents tries all, and says what the first obstacle is.
func removeParents(cfg *config, total int) error {
	var first error
	for number := range total {
		if err := (volume{cfg, cfg.first + number}).removeParent(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// The deadline that a kubelet gives each call.
const kubeletTimeout = 2 * time.Minute

// caller makes one call after another.
type caller struct {
	cfg    *config
	dialer dialer
	steps  []step
}

// pair makes all calls for one volume and notes how long each took. The error names the call that failed.
func (c *caller) pair(ctx context.Context, v volume, note func(step int, took time.Duration)) error {
	for i, step := range c.steps {
		call := step.request(v)
		callCtx, cancel := context.WithTimeout(ctx, kubeletTimeout)
		start := time.Now()
		err := c.dialer.do(callCtx, call)
		took := time.Since(start)
		cancel()
		if err != nil {
			c.undo(v)
			return &callError{i, fmt.Errorf("%s of %s: %s: %s", step.name, v.id(), status.Code(err), status.Convert(err).Message())}
		}
		note(i, took)
	}
	return nil
}

// undo unpublishes a volume whose publish or unpublish failed, as far as the server is there to do it. What is still there
// then cannot be removed, and is reported as left behind.
func (c *caller) undo(v volume) {
	if c.cfg.call == callEmpty {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	// The server may still be at work on the call that was given up.
	for status.Code(c.dialer.do(ctx, unpublish.request(v))) == codes.Aborted {
		time.Sleep(50 * time.Millisecond)
	}
}

// callError is the failure of a call of the given step.
type callError struct {
	step int
	err  error
}

func (e *callError) Error() string { return e.err.Error() }
func (e *callError) Unwrap() error { return e.err }
