package program

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// Client is an HTTP client that keeps so many connections.
func Client(connections int) *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: connections}}
}

// Post sends a body as JSON, with an idempotency key if that is not empty. Any answer but 200 is an error, of which the status tells; 0 is that of no answer at all.
func Post(ctx context.Context, client *http.Client, url, key string, body any) (status int, answer []byte, err error) {
	data, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(data))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	response, err := client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }() // it is read to its end
	if answer, err = io.ReadAll(response.Body); err != nil {
		return 0, nil, fmt.Errorf("%s: read the answer: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, response.Status, answer)
	}
	return response.StatusCode, answer, err
}

// Speed tells how fast requests were answered.
type Speed struct {
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	Median    float64 `json:"median_ms"`
	P99       float64 `json:"p99_ms"`
}

// SpeedOf is the speed of requests that took so long each, and all of them together. It sorts took.
func SpeedOf(took []time.Duration, all time.Duration) Speed {
	s, n := Speed{Seconds: all.Seconds()}, len(took)
	if n == 0 {
		return s
	}
	slices.Sort(took)
	s.PerSecond = float64(n) / s.Seconds
	s.Median, s.P99 = milliseconds(took[n/2]), milliseconds(took[n*99/100])
	return s
}

// String is the speed in a line.
func (s Speed) String() string {
	return fmt.Sprintf("%.1f s: %.0f per second, median %.1f ms, 99%% within %.1f ms", s.Seconds, s.PerSecond, s.Median, s.P99)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
