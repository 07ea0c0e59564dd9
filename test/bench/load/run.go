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
	plan := planOf(cfg)
	total := cfg.warmUp + cfg.count
	if plan.takesAway() {
		defer func() { err = errors.Join(err, removeParents(cfg, total)) }()
	}
	if plan.adds() {
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
		callers[i] = &caller{cfg: cfg, dialer: dialer}
	}
	if len(plan.after) > 0 {
		defer func() {
			err = errors.Join(err, newPhase(cfg.first, total, plan.after).run(context.WithoutCancel(ctx), callers))
		}()
	}
	if len(plan.before) > 0 {
		if err := newPhase(cfg.first, total, plan.before).run(ctx, callers); err != nil {
			return nil, err
		}
	}
	if err := newPhase(cfg.first, cfg.warmUp, plan.measured).run(ctx, callers); err != nil {
		return nil, err
	}
	// The garbage of the warm-up is not to be collected at the expense of the measured calls.
	runtime.GC()
	measured := newPhase(cfg.first+cfg.warmUp, cfg.count, plan.measured)
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
}

// do makes all calls for one volume and notes how long each took. The error names the call that failed.
func (c *caller) do(ctx context.Context, v volume, steps []step, note func(step int, took time.Duration)) error {
	for i, step := range steps {
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
