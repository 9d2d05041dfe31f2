package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// shoppers is how many customers send requests at once: databases commit together what comes together.
const shoppers = 32

// errWrong says that the summary shows what should not be.
var errWrong = errors.New("something is wrong")

// load makes requests over HTTP as fast as possible, waits until everything has come to rest, and reports.
func (s *system) load(ctx context.Context, o options, out io.Writer) error {
	l := &load{url: s.web.url(), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: shoppers}}}
	defer l.client.CloseIdleConnections()
	l.left.Store(int64(o.load))
	began := time.Now()
	var workers sync.WaitGroup
	for range shoppers {
		workers.Go(func() { l.shop(ctx) })
	}
	workers.Wait()
	took := time.Since(began)
	if err := s.rest(ctx); err != nil {
		return err
	}
	summary, err := s.report(ctx)
	if err != nil {
		return err
	}
	l.fill(&summary, took)
	if err := summary.print(out, o.output); err != nil {
		return err
	}
	if !summary.fine() {
		return errWrong
	}
	return nil
}

// load is what shoppers share.
type load struct {
	url    string
	client *http.Client
	left   atomic.Int64 // requests to make

	mu     sync.Mutex
	took   []time.Duration
	failed int
}

// shopper orders, pays, and has everything shipped, or cancels; and begins again.
type shopper struct {
	id     string
	amount int
	// plan are the paths that come next.
	plan []string
}

func (l *load) shop(ctx context.Context) {
	var s shopper
	for l.left.Add(-1) >= 0 && ctx.Err() == nil {
		path, body := s.next()
		began := time.Now()
		err := l.post(ctx, path, body)
		l.note(time.Since(began), err)
	}
}

func (s *shopper) next() (path string, body map[string]any) {
	if len(s.plan) == 0 {
		parcels := 1 + rand.IntN(5)
		s.id, s.amount = uuid.NewString(), 1+rand.IntN(100_00)
		s.plan = append([]string{"/payments"}, slices.Repeat([]string{"/orders/ship"}, parcels)...)
		if rand.IntN(10) == 0 {
			s.plan = []string{"/orders/cancel"}
		}
		items := slices.Repeat([]string{"cup"}, parcels)
		return "/orders", map[string]any{"order_id": s.id, "customer_id": "load", "amount": s.amount, "currency": "EUR", "items": items}
	}
	path, s.plan = s.plan[0], s.plan[1:]
	body = map[string]any{"order_id": s.id}
	switch path {
	case "/payments":
		body["amount"] = s.amount
	case "/orders/cancel":
		body["reason"] = "changed my mind"
	}
	return path, body
}

func (l *load) post(ctx context.Context, path string, body map[string]any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := l.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // it is read to its end
	if _, err = io.Copy(io.Discard, response.Body); err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, response.Status)
	}
	return err
}

func (l *load) note(took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, took)
	if err != nil {
		l.failed++
	}
}

// fill tells how fast it went.
func (l *load) fill(s *summary, took time.Duration) {
	s.Requests, s.Failed, s.Seconds = len(l.took), l.failed, took.Seconds()
	s.PerSecond = float64(s.Requests) / s.Seconds
	slices.Sort(l.took)
	if n := len(l.took); n > 0 {
		s.Median, s.P99 = milliseconds(l.took[n/2]), milliseconds(l.took[n*99/100])
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
