package room

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestRoomIsBoundedAndFair(t *testing.T) {
	r := New(3, 100)
	for _, size := range []int{40, 40} {
		if !r.TryEnter(size) {
			t.Fatal("there is room")
		}
	}
	if r.TryEnter(30) {
		t.Fatal("110 bytes are in a room of 100")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := r.Enter(ctx, 30); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("waiting in vain gives %v", err)
	}
	in := make(chan error)
	go func() { in <- r.Enter(t.Context(), 1000) }() // larger than the room: enters when it is empty
	for waiting := 0; waiting == 0; {
		r.mu.Lock()
		waiting = len(r.waiting)
		r.mu.Unlock()
	}
	if r.TryEnter(1) {
		t.Fatal("a small one overtook a large one that waits")
	}
	r.Leave(40)
	r.Leave(40)
	if err := <-in; err != nil {
		t.Fatal(err)
	}
	r.Leave(1000)
	if r.records != 3 || r.bytes != 100 {
		t.Fatalf("after all have left there is room for %d records and %d bytes", r.records, r.bytes)
	}
}
