package testenv_test

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-go/tidings/internal/testenv"
)

func TestNATSIsTheURLOfTheEnvironment(t *testing.T) {
	t.Setenv("TIDINGS_TEST_NATS_URL", "nats://127.0.0.1:1")
	if url := testenv.NATS(t); url != "nats://127.0.0.1:1" {
		t.Errorf("NATS = %q", url)
	}
}

func TestAMissingServerSkipsOnALaptop(t *testing.T) {
	t.Setenv("TIDINGS_TEST_NATS_URL", "")
	t.Setenv("CI", "")
	r := record(t, func(r *recorder) { testenv.NATS(r) })
	if r.failed != "" || !strings.Contains(r.skipped, "scripts/services up --install") {
		t.Errorf("skipped %q, failed %q; want a skip that names the remedy", r.skipped, r.failed)
	}
}

func TestAMissingServerFailsInCI(t *testing.T) {
	t.Setenv("TIDINGS_TEST_NATS_URL", "")
	t.Setenv("CI", "true")
	r := record(t, func(r *recorder) { testenv.NATS(r) })
	if r.skipped != "" || !strings.Contains(r.failed, "TIDINGS_TEST_NATS_URL") {
		t.Errorf("skipped %q, failed %q; want a failure that names the variable", r.skipped, r.failed)
	}
}

func TestEventuallyLooksUntilItIsSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		testenv.Eventually(t, time.Minute, func() error {
			if time.Since(start) < time.Second {
				return errors.New("not yet")
			}
			return nil
		})
		if waited := time.Since(start); waited > 2*time.Second {
			t.Errorf("waited %v for what was so after a second", waited)
		}
	})
}

func TestEventuallyGivesUpWithTheLastError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		r := record(t, func(r *recorder) {
			testenv.Eventually(r, time.Second, func() error {
				looks++
				return fmt.Errorf("look %d", looks)
			})
		})
		if want := fmt.Sprintf("still not so after 1s: look %d", looks); r.failed != want {
			t.Errorf("failed with %q, want %q", r.failed, want)
		}
	})
}

func TestFreePortCanBeListenedOn(t *testing.T) {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(testenv.FreePort(t)))
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
}

// recorder is a test that remembers how it ended instead of ending the real one.
type recorder struct {
	testing.TB
	skipped, failed string
}

func record(t *testing.T, body func(*recorder)) *recorder {
	t.Helper()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		body(r)
	}()
	<-done
	return r
}

func (r *recorder) Skip(args ...any) {
	r.skipped = fmt.Sprint(args...)
	runtime.Goexit()
}

func (r *recorder) Fatal(args ...any) {
	r.failed = fmt.Sprint(args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Fatal(fmt.Sprintf(format, args...))
}
