package consume_test

import (
	"testing"
	"time"

	"github.com/tidings-go/tidings/internal/consume"
)

// A paused partition fetches nothing, and must hear all the same that it is to be given back.
func TestAPausedPartitionIsGivenBackWhenAskedFor(t *testing.T) {
	var mail *consume.Reaction
	run(t, 1, toward(&mail), func(r *rig) {
		mail = r.single(slow)
		tape := r.topic.tapes[0]
		tape.once = true
		r.c.Pause()
		r.start()
		tape.append("a", "mail", 0)
		r.pass(time.Minute)
		if n := r.c.Stats().Partitions; n != 1 {
			t.Fatalf("%d partitions are held, want 1", n)
		}
		tape.revoke()
		r.pass(time.Second)
		if n := r.c.Stats().Partitions; n != 0 {
			t.Errorf("%d partitions are held a second after they were asked for", n)
		}
		r.c.Resume()
	})
}
