package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/examples/cashiers/appdomain"
	"github.com/tidings-go/tidings/examples/cashiers/invoicing"
	"github.com/tidings-go/tidings/examples/internal/program"
)

const (
	// clients is how many send commands at once: databases commit together what comes together. Half of them work for one hot tenant, the others have one each.
	clients = 32
	// patience is for how long a command is sent again that nobody answers, with the same idempotency key.
	patience = 2 * time.Minute
	// repeat says that one in so many commands is sent again though it was answered. The answer must be the same.
	repeat = 10
)

// leads says which events a command leads to, by the path to which it is posted.
var leads = map[string][]string{
	"/cashiers":        types(appdomain.CashierCreated),
	"/cashiers/delete": types(appdomain.CashierDeleted),
	"/users":           types(appdomain.UserCreatedV1, appdomain.UserCreatedV2),
	"/invoices":        types(invoicing.InvoiceCreated),
	"/invoices/pay":    types(invoicing.InvoicePaid, invoicing.PaymentReconciled, invoicing.InvoiceUpdated),
}

func types(events ...tidings.Defined) []string {
	list := make([]string, len(events))
	for i, e := range events {
		list[i] = e.Definition().Type()
	}
	return list
}

// load gives commands over HTTP and remembers what was accepted.
type load struct {
	url     func() string // where the api is now
	client  *http.Client
	tenants string // with which the names of its tenants begin
	left    atomic.Int64

	mu       sync.Mutex
	accepted map[fact]bool // what has to happen because a command was accepted
	took     []time.Duration
	commands int // that were answered
	again    int // how often one was sent again
	failed   []error
}

func newLoad(url func() string, commands int) *load {
	l := &load{url: url, tenants: "load-" + uuid.NewString()[:8] + "-", accepted: map[fact]bool{}, client: program.Client(clients)}
	l.left.Store(int64(commands))
	return l
}

// run gives all commands as fast as possible.
func (l *load) run(ctx context.Context) error {
	defer l.client.CloseIdleConnections()
	for n := range 4 {
		body := map[string]any{"sku": fmt.Sprint("tea-", n), "quantity": 1_000_000}
		if _, err := l.insist(ctx, "/inventory/restock", body); err != nil {
			return err
		}
	}
	var working sync.WaitGroup
	for n := range clients {
		tenant := l.tenants + "hot"
		if n%2 == 1 {
			tenant = l.tenants + strconv.Itoa(n)
		}
		working.Go(func() {
			for l.round(ctx, tenant) {
			}
		})
	}
	working.Wait()
	return ctx.Err()
}

// round is what a client does over and over. It reports whether there is more to do.
func (l *load) round(ctx context.Context, tenant string) bool {
	name := uuid.NewString()
	email := name + "@load.example"
	l.give(ctx, "/cashiers", tenant, map[string]any{"region": "north", "cashier_id": name, "name": name, "email": email})
	l.give(ctx, "/users", tenant, map[string]any{"user_id": name, "name": name, "email": email})
	for range 3 {
		sku, amount := fmt.Sprint("tea-", rand.IntN(4)), 1+rand.IntN(100_00)
		if rand.IntN(10) == 0 {
			sku = "gold" // there is none
		}
		id := l.give(ctx, "/invoices", tenant, map[string]any{"sku": sku, "quantity": 1 + rand.IntN(3), "amount": amount})
		if id != "" && rand.IntN(5) > 0 {
			l.give(ctx, "/invoices/pay", tenant, map[string]any{"invoice_id": id, "amount_paid": amount})
		}
	}
	return l.give(ctx, "/cashiers/delete", tenant, map[string]any{"cashier_id": name}) != ""
}

// give gives a command of a tenant, unless there were enough of them, and returns the id in the answer: what the command was about.
func (l *load) give(ctx context.Context, path, tenant string, body map[string]any) string {
	if l.left.Add(-1) < 0 || ctx.Err() != nil {
		return ""
	}
	body["tenant_id"] = tenant
	began := time.Now()
	answer, err := l.insist(ctx, path, body)
	took := time.Since(began)
	var a struct {
		CashierID string `json:"cashier_id"`
		UserID    string `json:"user_id"`
		InvoiceID string `json:"invoice_id"`
	}
	if err == nil {
		err = json.Unmarshal(answer, &a)
	}
	about := cmp.Or(a.CashierID, a.UserID, a.InvoiceID)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed = append(l.failed, err)
		return ""
	}
	l.commands++
	l.took = append(l.took, took)
	for _, event := range leads[path] {
		l.accepted[fact{event, tenant, about}] = true
	}
	return about
}

// insist sends a command, with an idempotency key, until it is answered.
func (l *load) insist(ctx context.Context, path string, body map[string]any) ([]byte, error) {
	key, deadline := uuid.NewString(), time.Now().Add(patience)
	answer, err := l.post(ctx, path, key, body)
	for pause := 10 * time.Millisecond; errors.Is(err, errAgain) && time.Now().Before(deadline); pause = min(2*pause, time.Second) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		l.note()
		answer, err = l.post(ctx, path, key, body)
	}
	if err != nil || rand.IntN(repeat) > 0 {
		return answer, err
	}
	l.note()
	second, err := l.post(ctx, path, key, body)
	if err == nil && !bytes.Equal(answer, second) {
		err = fmt.Errorf("%s: first the answer was %s, then %s", path, answer, second)
	}
	if errors.Is(err, errAgain) { // it is not there any more, but what it did is
		err = nil
	}
	return answer, err
}

// answered is how many commands were answered so far.
func (l *load) answered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.commands
}

// note notes that something was sent again.
func (l *load) note() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.again++
}

// errAgain says that nobody knows what became of a command.
var errAgain = errors.New("no answer")

func (l *load) post(ctx context.Context, path, key string, body map[string]any) ([]byte, error) {
	status, answer, err := program.Post(ctx, l.client, l.url()+path, key, body)
	if err != nil && (status == 0 || status >= http.StatusInternalServerError) {
		err = fmt.Errorf("%w: %w", errAgain, err)
	}
	return answer, err
}

// fill tells how it went.
func (l *load) fill(s *summary, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Commands, s.Failed, s.SentAgain, s.Speed = l.commands, len(l.failed), l.again, program.SpeedOf(l.took, took)
}
