package brokertest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/tidings-go/tidings/broker"
)

func networkScenarios() []scenario {
	return []scenario{
		{name: "when connections are cut and answers lost, no acknowledged record is lost and each key keeps its order", run: connectionsAreCut, needs: []Need{NeedProxied}},
		{name: "a slow network slows down, and nothing else", run: slowNetwork, needs: []Need{NeedProxied}},
		{
			name: "while nothing listens at the server's address, Publish takes a bounded number of records and fails them with a clear error",
			run:  serverIsDown, needs: []Need{NeedProxied},
		},
		{name: "wrong credentials are named as such, at once and without the password", run: strangers, needs: []Need{NeedStranger}},
	}
}

// proxied opens a client behind a proxy.
func (k *kit) proxied() (*Proxy, broker.Broker) {
	k.Helper()
	p, b, closeClient := k.Proxied(k.TB)
	k.Cleanup(sync.OnceFunc(closeClient))
	return p, b
}

// connectionsAreCut cuts a publisher's connections when the server has its records and its answers are on their way, and a reader's at any time.
func connectionsAreCut(k *kit) {
	toPublisher, publisher := k.proxied()
	toReader, client := k.proxied()
	topic := k.topic(k.open(), 4)
	var oracle Oracle
	reader := broker.Reader{Group: k.unique("group"), Topics: []string{topic}}
	k.consume(client, reader, watch(&oracle))
	k.consume(k.open(), reader, watch(&oracle))
	halt := make(chan struct{})
	var publishing sync.WaitGroup
	for p := range 2 {
		publishing.Go(func() { k.insist(publisher, topic, p, &oracle, halt) })
	}
	for range 4 * rounds(20) {
		k.flows(&oracle, "between two cuts")
		toPublisher.FromServer.Shut()
		k.wait(20 * time.Millisecond)
		toPublisher.Cut()
		toPublisher.FromServer.Open()
		toReader.Cut()
	}
	k.flows(&oracle, "after the last cut")
	close(halt)
	publishing.Wait()
	v := k.judgeAll(&oracle)
	k.Logf("%d records of %d keys, %d repeats", v.Handled, v.Keys, v.Repeats)
}

// slowNetwork has an ocean between the client and the server: 50 ms one way, and a megabyte a second.
func slowNetwork(k *kit) {
	const calls, perCall = 10, 100
	p, b := k.proxied()
	topic := k.topic(b, 2)
	var oracle Oracle
	reader := broker.Reader{Group: k.unique("group"), Topics: []string{topic}}
	k.consume(b, reader, watch(&oracle))
	p.Slow(50*time.Millisecond, 1<<20)
	var waits []func() []outcome
	var sent []broker.Record
	for range calls {
		records := make([]broker.Record, perCall)
		for i := range records {
			records[i] = numbered(&oracle, topic, "key"+string(rune('a'+i%10)))
		}
		sent = append(sent, records...)
		waits = append(waits, k.send(b, records))
	}
	i := 0
	for _, wait := range waits {
		for _, o := range wait() {
			if o.err != nil {
				k.Errorf("publish: %v", o.err)
			} else {
				stored(&oracle, &sent[i])
			}
			i++
		}
	}
	if v := k.judgeAll(&oracle); v.Repeats > 0 {
		k.Errorf("%d records came twice, though nothing was lost", v.Repeats)
	}
}

// serverIsDown publishes into the void.
func serverIsDown(k *kit) {
	const perCall, size, wait = 32, 16 << 10, 2 * time.Second
	const most = 256 << 20
	p, b := k.proxied()
	f := newFlood(k, k.topic(b, 1))
	f.publish(k.patient(), b, perCall, size)
	k.eventually("publishing works", func() bool { return f.open() == 0 })
	up := p.Down()
	for blocked := false; !blocked; {
		ctx, cancel := context.WithTimeout(k.Context(), wait)
		took := f.publish(ctx, b, perCall, size)
		blocked = ctx.Err() != nil
		cancel()
		if took > wait+5*time.Second {
			k.Errorf("Publish took %s, though its context ended after %s", took, wait)
		}
		if f.sent*size > most {
			k.Fatalf("%d bytes went into the buffer of a broker that is not there", f.sent*size)
		}
	}
	k.within(2*k.patience, "every record fails, since nobody is there", func() bool { return f.open() == 0 })
	f.blames(perCall, f.topic)
	up()
	k.within(k.patience, "the client finds the server again", func() bool {
		return k.tryPublish(b, broker.Record{Topic: f.topic, Value: []byte("again")})[0].err == nil
	})
	f.verify(k.open())
}

// blames checks that all records from a number on have failed, for a reason that is not their own, with an error that says what was tried.
func (f *flood) blames(from int, topic string) {
	f.k.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := from; n < f.sent; n++ {
		switch err := f.answered[n]; {
		case err == nil:
			f.k.Fatalf("record %d is said to be stored, and nobody was there", n)
		case broker.Permanent(err), !strings.Contains(err.Error(), "publish") || !strings.Contains(err.Error(), topic):
			f.k.Fatalf("record %d failed because nobody was there, and the error is: %v", n, err)
		case n == from:
			f.k.Logf("the error is: %v", err)
		}
	}
}

func strangers(k *kit) {
	const user, password = "stranger", "x-wrong-password-x"
	ctx, cancel := context.WithTimeout(k.Context(), k.patience)
	defer cancel()
	began := time.Now()
	address, err := k.Stranger(ctx, user, password)
	if err == nil {
		k.Fatalf("a client was opened with a wrong password")
	}
	k.Logf("the error is: %v", err)
	if took := time.Since(began); took > k.patience/2 || errors.Is(err, context.DeadlineExceeded) {
		k.Errorf("a wrong password was tried for %s", took)
	}
	for _, want := range []string{"authentication failed", user, address} {
		if !strings.Contains(err.Error(), want) {
			k.Errorf("a wrong password gives an error that does not say %q: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), password) {
		k.Errorf("the error shows the password: %v", err)
	}
}
