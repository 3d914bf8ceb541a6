// Load on an etcd cluster, for comparison: so many requests outstanding at a time for so many
// seconds, each from its own goroutine over one gRPC client to the leader. Prints one line of JSON.
//
//	etcd_load -endpoint 127.0.0.1:2379 -operation write|read -outstanding 64 -seconds 3
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/clientv3"
)

type result struct {
	Operations int     `json:"operations"`
	Errors     int     `json:"errors"`
	Rate       float64 `json:"rate"`
	P50        float64 `json:"p50_us"`
	P95        float64 `json:"p95_us"`
	P99        float64 `json:"p99_us"`
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "etcd_load:", err)
	os.Exit(1)
}

func percentile(sorted []float64, part float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	index := int(part * float64(len(sorted)))
	if index >= len(sorted) {
		index = len(sorted) - 1
	}
	return sorted[index]
}

func main() {
	endpoint := flag.String("endpoint", "127.0.0.1:2379", "client address of the leader")
	operation := flag.String("operation", "write", "write, or read (linearizable)")
	outstanding := flag.Int("outstanding", 64, "requests under way at a time")
	seconds := flag.Float64("seconds", 3, "how long")
	size := flag.Int("size", 128, "bytes of a value")
	flag.Parse()

	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{*endpoint}, DialTimeout: 5 * time.Second})
	if err != nil {
		fatal(err)
	}
	defer client.Close()
	value := strings.Repeat("v", *size)
	if _, err := client.Put(context.Background(), "key-0", value); err != nil {
		fatal(err)
	}

	limit, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	latencies := make([][]float64, *outstanding)
	errors := make([]int, *outstanding)
	begin := time.Now()
	end := begin.Add(time.Duration(*seconds * float64(time.Second)))
	var workers sync.WaitGroup
	for worker := 0; worker < *outstanding; worker++ {
		workers.Add(1)
		go func(worker int) {
			defer workers.Done()
			key := fmt.Sprintf("key-%d", worker)
			for time.Now().Before(end) {
				start := time.Now()
				var err error
				if *operation == "read" {
					_, err = client.Get(limit, "key-0")
				} else {
					_, err = client.Put(limit, key, value)
				}
				if err != nil {
					errors[worker]++
					continue
				}
				latencies[worker] = append(latencies[worker],
					float64(time.Since(start).Nanoseconds())/1000)
			}
		}(worker)
	}
	workers.Wait()
	elapsed := time.Since(begin).Seconds()

	var all []float64
	failed := 0
	for worker := range latencies {
		all = append(all, latencies[worker]...)
		failed += errors[worker]
	}
	sort.Float64s(all)
	line, err := json.Marshal(result{len(all), failed, float64(len(all)) / elapsed,
		percentile(all, 0.50), percentile(all, 0.95), percentile(all, 0.99)})
	if err != nil {
		fatal(err)
	}
	fmt.Println(string(line))
}
