package consume_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/consume"
)

func TestParkAfterTheLastAttempt(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.Retry.Attempts = 3
	run(t, 1, cfg, func(r *rig) {
		mail = r.single(func(_ context.Context, d *broker.Delivery) error {
			if string(d.Value) == "a1" {
				return errTest
			}
			return nil
		})
		r.topic.tapes[0].append("a", "a1", 0)
		r.topic.tapes[0].append("a", "a2", 0)
		r.start()
		r.pass(time.Second)
		r.saw("a1", "a1", "a1", "a2")
		r.settled(0, 2)
		dead := r.dead[0]
		if dead.Group != "shop.mailer" || dead.Reaction != "mail" || string(dead.Delivery.Value) != "a1" || len(dead.History) != 3 {
			t.Fatalf("got %+v", dead)
		}
		for i, f := range dead.History {
			if f.Attempt != i+1 || f.Error != errTest.Error() || f.Panic || f.Time.Before(r.began) {
				t.Errorf("failure %d: %+v", i, f)
			}
		}
		if s := r.c.Stats(); s.Dead != 1 || s.Failed != 3 || s.Handled != 1 || s.InFlight != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestDeadLetterVerdictDoesNotRetry(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.OnFailure = consume.Block // which is for what might still succeed
	run(t, 1, cfg, func(r *rig) {
		mail = r.single(func(context.Context, *broker.Delivery) error {
			return fmt.Errorf("decode: %w", consume.DeadLetter(errTest))
		})
		r.topic.tapes[0].append("a", "a", 0)
		r.start()
		r.saw("a")
		if len(r.dead) != 1 || len(r.dead[0].History) != 1 || r.dead[0].History[0].Error != "decode: it failed" {
			t.Errorf("got %+v", r.dead)
		}
	})
}

func TestHistoryIsBounded(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.Retry = consume.Retry{Attempts: 50, Min: time.Millisecond}
	run(t, 1, cfg, func(r *rig) {
		try := 0
		mail = r.single(func(context.Context, *broker.Delivery) error {
			try++
			return fmt.Errorf("try %d: %s", try, strings.Repeat("é", 1<<13))
		})
		r.topic.tapes[0].append("a", "a", 0)
		r.start()
		r.pass(time.Hour)
		h := r.dead[0].History
		if len(h) != 20 || h[0].Attempt != 1 || h[1].Attempt != 32 || h[19].Attempt != 50 {
			t.Errorf("kept %d failures, from %d, %d to %d", len(h), h[0].Attempt, h[1].Attempt, h[len(h)-1].Attempt)
		}
		for _, f := range h {
			if len(f.Error) > 5<<10 || !utf8.ValidString(f.Error) || !strings.HasPrefix(f.Error, fmt.Sprintf("try %d: ", f.Attempt)) {
				t.Errorf("attempt %d keeps %d bytes", f.Attempt, len(f.Error))
			}
		}
		if _, err := json.Marshal(h); err != nil {
			t.Error(err)
		}
	})
}

func TestPanicIsAFailureWithAStack(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.Retry.Attempts = 2
	run(t, 1, cfg, func(r *rig) {
		mail = r.single(func(context.Context, *broker.Delivery) error {
			panic(consume.Discard(errors.New("not a verdict")))
		})
		r.topic.tapes[0].append("a", "a", 0)
		r.start()
		r.pass(time.Second)
		f := r.dead[0].History[1]
		if !f.Panic || f.Error != "panic: not a verdict" || !strings.Contains(f.Stack, "dead_test.go") || len(f.Stack) > 9<<10 {
			t.Errorf("got %+v", f)
		}
		if r.logged("stack=") != 2 || r.logged("dead_test.go") == 0 {
			t.Errorf("the log does not say where:\n%s", &r.log)
		}
	})
}

func TestGoexitIsAFailure(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.Retry.Attempts = 2
	cfg.Concurrency = 1
	run(t, 1, cfg, func(r *rig) {
		mail = r.single(func(_ context.Context, d *broker.Delivery) error {
			if string(d.Value) == "a1" {
				runtime.Goexit()
			}
			return nil
		})
		for _, v := range []string{"a1", "a2", "b1"} {
			r.topic.tapes[0].append(v[:1], v, 0)
		}
		r.start()
		r.pass(time.Second)
		r.saw("a1", "b1", "a1", "a2")
		if len(r.dead) != 1 || len(r.dead[0].History) != 2 || r.dead[0].History[0].Error == "" {
			t.Errorf("got %+v", r.dead)
		}
		r.settled(0, 3)
	})
}

func TestDeadLettersAreKeptUntilTheyAreStored(t *testing.T) {
	var mail *consume.Reaction
	var r *rig
	cfg := toward(&mail)
	cfg.Concurrency = 1
	cfg.Retry = consume.Retry{Attempts: 1, Min: time.Second, Max: time.Second}
	calls := 0
	cfg.DeadLetter = func(ctx context.Context, dead *consume.Dead) error {
		calls++
		switch calls {
		case 1:
			return errors.New("the store is away")
		case 2:
			panic("the store is worse")
		}
		return r.bury(ctx, dead)
	}
	run(t, 1, cfg, func(rig *rig) {
		r = rig
		mail = r.single(func(_ context.Context, d *broker.Delivery) error {
			if string(d.Value) == "a1" {
				return errTest
			}
			return nil
		})
		for _, v := range []string{"a1", "a2", "b1"} {
			r.topic.tapes[0].append(v[:1], v, 0)
		}
		r.start()
		r.saw("a1", "b1") // The lane waits, others go on, and the handler is not called again.
		r.pass(900 * time.Millisecond)
		r.saw()
		r.pass(1100 * time.Millisecond)
		r.saw("a2")
		if len(r.dead) != 1 || calls != 3 || len(r.dead[0].History) != 1 {
			t.Errorf("after %d calls: %+v", calls, r.dead)
		}
		r.settled(0, 3)
	})
}

func TestNothingIsGivenUpWithoutDeadLetter(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.Retry.Attempts = 1
	run(t, 1, cfg, func(r *rig) {
		cfg.Log, cfg.Group = slog.New(slog.NewTextHandler(r, nil)), "g"
		r.c = consume.New(cfg)
		mail = r.single(func(context.Context, *broker.Delivery) error { return errTest })
		r.topic.tapes[0].append("a", "a", 0)
		r.start()
		r.pass(time.Hour)
		r.settled(0, 0)
		if s := r.c.Stats(); s.InFlight != 1 || s.Dead != 0 || r.logged("Config.DeadLetter is missing") == 0 {
			t.Errorf("got %+v and the log\n%s", s, &r.log)
		}
	})
}

func TestTimeout(t *testing.T) {
	var mail *consume.Reaction
	cfg := toward(&mail)
	cfg.Retry.Attempts = 1
	run(t, 1, cfg, func(r *rig) {
		mail = r.single(func(ctx context.Context, d *broker.Delivery) error {
			switch string(d.Value) {
			case "patient":
				return pause(ctx, time.Minute)
			case "deaf":
				return pause(context.WithoutCancel(ctx), time.Minute)
			case "late":
				_ = pause(context.WithoutCancel(ctx), time.Minute)
			}
			if _, limited := ctx.Deadline(); !limited {
				t.Error("the context has no deadline")
			}
			return nil
		})
		mail.Timeout = 5 * time.Second
		r.topic.tapes[0].append("a", "patient", 0)
		r.start()
		r.pass(5 * time.Second)
		if len(r.dead) != 1 || r.dead[0].History[0].Error != "after the timeout of 5s: context deadline exceeded" {
			t.Errorf("got %+v", r.dead)
		}
		r.topic.tapes[0].append("a", "late", 0) // An answer that is late is an answer.
		r.topic.tapes[0].append("a", "quick", 0)
		r.saw("patient")
		r.pass(7 * time.Second)
		r.saw("late")
		if r.logged("level=WARN") != 1 {
			t.Errorf("the handler that ignores its timeout was not logged once:\n%s", &r.log)
		}
		r.pass(53 * time.Second)
		r.saw("quick")
		if r.logged("level=WARN") != 1 || len(r.dead) != 1 {
			t.Errorf("%d dead, and the log\n%s", len(r.dead), &r.log)
		}
	})
}
