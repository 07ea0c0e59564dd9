package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// report is what a run found.
type report struct {
	Socket     string  `json:"socket"`
	Connection string  `json:"connection"`
	Callers    int     `json:"callers"`
	WarmUp     int     `json:"warm_up"`
	Seconds    float64 `json:"seconds"`
	// By the name of the call.
	Calls map[string]summary `json:"calls"`
	// The names, in the order in which the calls are made.
	order []string
}

func newReport(cfg *config, elapsed time.Duration) *report {
	return &report{
		Socket:     cfg.socket,
		Connection: cfg.connection,
		Callers:    cfg.callers,
		WarmUp:     cfg.warmUp,
		Seconds:    elapsed.Seconds(),
		Calls:      map[string]summary{},
	}
}

func (r *report) add(name string, calls summary) {
	r.order = append(r.order, name)
	r.Calls[name] = calls
}

func (r *report) write(to io.Writer, asJSON bool) {
	if asJSON {
		// A report holds only strings and finite numbers: it always encodes.
		_ = json.NewEncoder(to).Encode(r)
		return
	}
	fmt.Fprintf(to, "%s: callers %d, connection %s, %.2f s; latencies in µs\n", r.Socket, r.Callers, r.Connection, r.Seconds)
	fmt.Fprintf(to, "%-10s %8s %7s %10s %10s %10s %10s %10s %10s\n", "call", "count", "errors", "p50", "p90", "p99", "max", "mean", "per second")
	for _, name := range r.order {
		c := r.Calls[name]
		fmt.Fprintf(to, "%-10s %8d %7d %10.0f %10.0f %10.0f %10.0f %10.0f %10.0f\n", name, c.Count, c.Errors, c.P50, c.P90, c.P99, c.Max, c.Mean, c.PerSecond)
	}
}
