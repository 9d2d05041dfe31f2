package demo

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/tidings-go/tidings/cli"
	"github.com/tidings-go/tidings/examples/tickets/platform"
)

const (
	barWidth = 40
	barEvery = 100 * time.Millisecond
)

// bar shows progress on a terminal, and nothing elsewhere.
type bar struct {
	to    io.Writer // nil: nowhere
	total int64

	mu    sync.Mutex
	drawn time.Time
}

func newBar(status io.Writer, total int64) *bar {
	if cli.IsTerminal(status) {
		return &bar{to: status, total: total}
	}
	return &bar{}
}

// set shows how many bookings there are.
func (b *bar) set(bookings int64) {
	if b.total <= 0 {
		b.draw(fmt.Sprintf("%d bookings", bookings))
		return
	}
	full := int(min(bookings, b.total) * barWidth / b.total)
	b.draw(fmt.Sprintf("[%s%s] %d of %d bookings", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), bookings, b.total))
}

// waiting shows what is still on its way.
func (b *bar) waiting(p platform.Progress) {
	b.draw(fmt.Sprintf("coming to rest: %d messages to handle, %d in the outbox", p.Lag, p.Outbox))
}

func (b *bar) draw(text string) {
	if b.to == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Since(b.drawn) < barEvery {
		return
	}
	b.drawn = time.Now()
	fmt.Fprintf(b.to, "\r\x1b[K%s", text)
}

// done clears the line.
func (b *bar) done() {
	if b.to != nil {
		fmt.Fprint(b.to, "\r\x1b[K")
	}
}
