package consume

import (
	"testing"
	"time"
)

func TestWaitGrowsWithinItsBounds(t *testing.T) {
	r := Retry{Min: 100 * time.Millisecond, Max: 30 * time.Second}.withDefaults()
	for n, want := range map[int]time.Duration{
		-1: 100 * time.Millisecond, 1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 5: 1600 * time.Millisecond,
		9: 25600 * time.Millisecond, 10: 30 * time.Second, 63: 30 * time.Second, 1000: 30 * time.Second,
	} {
		low, high := want, time.Duration(0)
		for range 1000 {
			d := r.wait(n)
			low, high = min(low, d), max(high, d)
		}
		if low < want/2 || high > want || high-low < want/4 {
			t.Errorf("after failure %d: waits from %s to %s, want them spread over the upper half of %s", n, low, high, want)
		}
	}
}

func TestRetryDefaults(t *testing.T) {
	if got, want := (Retry{}).withDefaults(), (Retry{10, 100 * time.Millisecond, 30 * time.Second}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := (Retry{Min: time.Hour}).withDefaults(); got.Max != time.Hour {
		t.Errorf("Max is %s, less than Min", got.Max)
	}
	if d := (Retry{Min: 1, Max: 1<<63 - 1}).withDefaults().wait(70); d <= 0 {
		t.Errorf("the wait overflowed: %s", d)
	}
}
