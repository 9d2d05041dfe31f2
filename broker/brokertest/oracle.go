package brokertest

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
)

// Oracle knows what was published and watches what is handled. The occurrences of each key are numbered 1, 2, 3 … as they are
// published; the first handling of each number must come in that order, and none may be missing. Giving up on a number is in its place too.
//
//	n := oracle.Issue("seat-7")          // before it is published
//	oracle.Stored("seat-7", n)           // when the broker (or the transaction) said that it has it
//	oracle.Handled("seat-7", n)          // each time that it is handled
//	oracle.Excused("seat-7", n)          // if it was recorded as a dead letter, or discarded
//	err := oracle.Check().Err()
//
// What was issued but never acknowledged as stored may be handled or not, but not out of order. The zero value is ready to use; it
// is safe for concurrent use. To be believed, a test shows that its oracle finds what is broken: see this package's own tests.
type Oracle struct {
	mu   sync.Mutex // guards what follows
	keys map[string]*history
	// open counts what is stored and neither handled nor excused, firsts and repeats what was handled for the first time and again.
	open, firsts, repeats int
}

// history is what is known of one key.
type history struct {
	issued  int
	stored  map[int]bool
	excused map[int]bool
	seen    map[int]bool
	first   []int // numbers in the order in which they were first handled or given up on
}

// Issue returns the next number of key.
func (o *Oracle) Issue(key string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	h := o.of(key)
	h.issued++
	return h.issued
}

// Stored notes that number n of key was acknowledged: from now on it must not be lost.
func (o *Oracle) Stored(key string, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	h := o.of(key)
	if !h.stored[n] && !h.seen[n] && !h.excused[n] {
		o.open++
	}
	h.stored[n] = true
}

// Handled notes that number n of key was handled, for the first time or again.
func (o *Oracle) Handled(key string, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	h := o.of(key)
	if h.seen[n] {
		o.repeats++
		return
	}
	if h.stored[n] && !h.excused[n] {
		o.open--
	}
	o.firsts++
	if !h.excused[n] {
		h.first = append(h.first, n)
	}
	h.seen[n] = true
}

// Excused notes that number n of key was given up on knowingly. It need not be handled, but what comes later has to wait until here.
func (o *Oracle) Excused(key string, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	h := o.of(key)
	if h.stored[n] && !h.seen[n] && !h.excused[n] {
		o.open--
	}
	if !h.seen[n] && !h.excused[n] {
		h.first = append(h.first, n)
	}
	h.excused[n] = true
}

// Open returns how many numbers were stored and neither handled nor excused yet.
func (o *Oracle) Open() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.open
}

// handled returns how many numbers were handled, and how often one was handled again.
func (o *Oracle) handled() (firsts, repeats int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.firsts, o.repeats
}

// Check compares all that was noted.
func (o *Oracle) Check() Verdict {
	o.mu.Lock()
	defer o.mu.Unlock()
	v := Verdict{Keys: len(o.keys), Handled: o.firsts, Repeats: o.repeats}
	names := make([]string, 0, len(o.keys))
	for key := range o.keys {
		names = append(names, key)
	}
	sort.Strings(names)
	for _, key := range names {
		h := o.keys[key]
		v.Issued += h.issued
		for _, n := range h.missing() {
			v.Lost = append(v.Lost, fmt.Sprintf("%s: %d was stored and never handled", key, n))
		}
		h.judgeOrder(key, &v)
	}
	return v
}

// of is the history of key; the lock is held.
func (o *Oracle) of(key string) *history {
	if o.keys == nil {
		o.keys = make(map[string]*history)
	}
	h, ok := o.keys[key]
	if !ok {
		h = &history{stored: make(map[int]bool), excused: make(map[int]bool), seen: make(map[int]bool)}
		o.keys[key] = h
	}
	return h
}

func (h *history) missing() []int {
	var missing []int
	for n := range h.stored {
		if !h.seen[n] && !h.excused[n] {
			missing = append(missing, n)
		}
	}
	slices.Sort(missing)
	return missing
}

// judgeOrder finds numbers that came after a larger one. A number that is still missing is lost, not disordered.
func (h *history) judgeOrder(key string, v *Verdict) {
	largest := 0
	for _, n := range h.first {
		switch {
		case n < 1 || n > h.issued:
			v.Foreign = append(v.Foreign, fmt.Sprintf("%s: %d was %s and never issued", key, n, h.fate(n)))
		case n < largest:
			v.Disordered = append(v.Disordered, fmt.Sprintf("%s: %d was first %s after %d", key, n, h.fate(n), largest))
		default:
			largest = n
		}
	}
}

// fate says what became of a number that was handled or excused.
func (h *history) fate(n int) string {
	if h.seen[n] {
		return "handled"
	}
	return "given up on"
}

// Verdict is what an [Oracle] found.
type Verdict struct {
	// Keys, Issued and Handled count keys, numbers that were issued, and numbers that were handled at least once.
	Keys, Issued, Handled int
	// Repeats counts handlings of a number that had been handled before. A failover may cause them.
	Repeats int
	// Lost, Disordered and Foreign have a line for each number that was stored and not handled, was first handled after a later one, or
	// was handled though nobody issued it.
	Lost, Disordered, Foreign []string
}

// Err says what is wrong, with examples. Repeats are not wrong.
func (v Verdict) Err() error {
	return errors.Join(v.complain("lost", v.Lost), v.complain("out of order", v.Disordered), v.complain("foreign", v.Foreign))
}

func (v Verdict) complain(what string, lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	const examples = 5
	return fmt.Errorf("%d of %d records %s: %s", len(lines), v.Issued, what, strings.Join(lines[:min(len(lines), examples)], "; "))
}
