//go:build unix

package redis_test

import (
	"fmt"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/redis"
)

// old adds n entries that are hours old.
func (d *desk) old(n, hours int) {
	d.t.Helper()
	ms := time.Now().Add(-time.Duration(hours) * time.Hour).UnixMilli()
	pipe := d.raw.Pipeline()
	for i := range n {
		pipe.XAdd(d.t.Context(), &goredis.XAddArgs{Stream: d.stream, ID: fmt.Sprintf("%d-%d", ms, i), Values: []string{"data", "x"}})
	}
	if _, err := pipe.Exec(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) holds(least, most int64) {
	d.t.Helper()
	d.b.Trim(d.t.Context())
	if n := d.raw.XLen(d.t.Context(), d.stream).Val(); n < least || n > most {
		d.t.Errorf("the stream holds %d entries, want %d to %d", n, least, most)
	}
}

func TestTrimming(t *testing.T) {
	t.Parallel()
	t.Run("removes what is older than the retention", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t, redis.Config{Retention: time.Hour}, broker.Topic{})
		d.old(1000, 2)
		d.publish(1, 5)
		d.holds(5, 105) // whole nodes of the stream
	})
	t.Run("keeps what a group has not read or not settled, and names the group", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t, redis.Config{Retention: time.Hour}, broker.Topic{})
		d.old(1000, 3)
		d.publish(1, 5)
		d.createGroup("unread")
		d.holds(1005, 1005)
		d.steal("unread", 1000)
		d.holds(1005, 1005)
		if !d.log.has("group=unread") || !d.log.has("XGROUP DESTROY") {
			t.Error("nobody complains about a group that keeps what is much too old")
		}
		pending := d.raw.XPendingExt(t.Context(), &goredis.XPendingExtArgs{Stream: d.stream, Group: "unread", Start: "-", End: "+", Count: 500}).Val()
		for _, p := range pending {
			d.raw.XAck(t.Context(), d.stream, "unread", p.ID)
		}
		d.holds(505, 605)
		d.raw.XGroupDestroy(t.Context(), d.stream, "unread")
		d.holds(5, 105)
	})
	t.Run("removes what is more than a topic may hold", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t, redis.Config{MaxRecords: 300}, broker.Topic{})
		d.old(1000, 1)
		d.publish(1, 5)
		d.createGroup("g")
		d.steal("g", 100)
		d.holds(1005, 1005)
		d.raw.XGroupDestroy(t.Context(), d.stream, "g")
		d.holds(300, 300)
	})
	t.Run("removes what takes more bytes than a topic may", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t, redis.Config{}, broker.Topic{MaxBytes: 64 << 10})
		for range 4 {
			d.old(2000, 1)
			d.raw.XTrimMaxLen(t.Context(), d.stream, 0)
		}
		d.publish(1, 1)
		value := make([]byte, 1000)
		for range 200 {
			d.raw.XAdd(t.Context(), &goredis.XAddArgs{Stream: d.stream, Values: []any{"data", value}})
		}
		d.holds(20, 100)
	})
	t.Run("keeps everything where there is no limit", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t, redis.Config{}, broker.Topic{Retention: broker.Unlimited})
		d.old(1000, 1000)
		d.publish(1, 5)
		d.holds(1005, 1005)
	})
}
