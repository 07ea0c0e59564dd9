package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// phase is a number of volumes that callers share out among them.
type phase struct {
	first, count int
	steps        []step
	next         atomic.Int64
	// By step and volume: each element is written by one caller, so no lock is needed, and none is waited for.
	latencies [][]time.Duration
	errors    []atomic.Int64
	elapsed   time.Duration
}

func newPhase(first, count int, steps []step) *phase {
	p := &phase{first: first, count: count, steps: steps, errors: make([]atomic.Int64, len(steps))}
	for range steps {
		p.latencies = append(p.latencies, make([]time.Duration, count))
	}
	return p
}

// run lets all callers work until no volume is left. The first failure stops them all, and is returned.
func (p *phase) run(ctx context.Context, callers []*caller) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	begin := make(chan struct{})
	for _, caller := range callers {
		group.Go(func() {
			<-begin
			if err := p.work(ctx, caller); err != nil {
				cancel(err)
			}
		})
	}
	start := time.Now()
	close(begin)
	group.Wait()
	p.elapsed = time.Since(start)
	return context.Cause(ctx)
}

func (p *phase) work(ctx context.Context, caller *caller) error {
	for ctx.Err() == nil {
		i := int(p.next.Add(1)) - 1
		if i >= p.count {
			return nil
		}
		err := caller.do(ctx, volume{caller.cfg, p.first + i}, p.steps, func(step int, took time.Duration) {
			p.latencies[step][i] = took
		})
		// A call that was cut short, because another one failed or time is up, is not a failure of the server.
		var failed *callError
		if errors.As(err, &failed) && ctx.Err() == nil {
			p.errors[failed.step].Add(1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *phase) report(cfg *config) *report {
	result := newReport(cfg, p.elapsed)
	for i, step := range p.steps {
		result.add(step.name, summarize(p.latencies[i], p.elapsed, int(p.errors[i].Load())))
	}
	return result
}
