package main

import (
	"slices"
	"time"
)

// summary says how long calls of one kind took, in microseconds.
type summary struct {
	Count     int     `json:"count"`
	Errors    int     `json:"errors"`
	P50       float64 `json:"p50_us"`
	P90       float64 `json:"p90_us"`
	P99       float64 `json:"p99_us"`
	Max       float64 `json:"max_us"`
	Mean      float64 `json:"mean_us"`
	PerSecond float64 `json:"per_second"`
}

// summarize looks at the calls that were made within elapsed; a latency of 0 is a call that was not. It sorts latencies.
func summarize(latencies []time.Duration, elapsed time.Duration, errors int) summary {
	slices.Sort(latencies)
	made, _ := slices.BinarySearch(latencies, 1)
	latencies = latencies[made:]
	if len(latencies) == 0 {
		return summary{Errors: errors}
	}
	var total time.Duration
	for _, latency := range latencies {
		total += latency
	}
	return summary{
		Count:     len(latencies),
		Errors:    errors,
		P50:       microseconds(percentile(latencies, 50)),
		P90:       microseconds(percentile(latencies, 90)),
		P99:       microseconds(percentile(latencies, 99)),
		Max:       microseconds(latencies[len(latencies)-1]),
		Mean:      microseconds(total) / float64(len(latencies)),
		PerSecond: float64(len(latencies)) / elapsed.Seconds(),
	}
}

// percentile is the nearest rank: the smallest latency that p percent of the calls did not exceed. sorted is not empty.
func percentile(sorted []time.Duration, p int) time.Duration {
	rank := (len(sorted)*p + 99) / 100
	return sorted[max(rank, 1)-1]
}

func microseconds(d time.Duration) float64 {
	return float64(d.Nanoseconds()) / 1000
}
