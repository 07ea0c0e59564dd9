package main

import (
	"slices"
	"testing"
	"time"
)

func TestPercentileIsTheNearestRank(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	tests := []struct {
		sorted []time.Duration
		p      int
		want   time.Duration
	}{
		{hundred, 50, 50},
		{hundred, 90, 90},
		{hundred, 99, 99},
		{hundred, 100, 100},
		{hundred, 0, 1},
		{[]time.Duration{7}, 50, 7},
		{[]time.Duration{7}, 99, 7},
		{[]time.Duration{1, 2}, 50, 1},
		{[]time.Duration{1, 2}, 51, 2},
		{[]time.Duration{1, 2, 3}, 50, 2},
		{hundred[:10], 99, 10},
	}
	for _, test := range tests {
		if got := percentile(test.sorted, test.p); got != test.want {
			t.Errorf("percentile %d of %d values: got %d, want %d", test.p, len(test.sorted), got, test.want)
		}
	}
}

func TestSummary(t *testing.T) {
	µs := time.Microsecond
	got := summarize([]time.Duration{30 * µs, 0, 10 * µs, 20 * µs, 0}, 2*time.Second, 1)
	want := summary{Count: 3, Errors: 1, P50: 20, P90: 30, P99: 30, Max: 30, Mean: 20, PerSecond: 1.5}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestSummaryOfNothing(t *testing.T) {
	for _, latencies := range [][]time.Duration{nil, slices.Repeat([]time.Duration{0}, 3)} {
		if got := summarize(latencies, 0, 2); got != (summary{Errors: 2}) {
			t.Errorf("got %+v", got)
		}
	}
}
