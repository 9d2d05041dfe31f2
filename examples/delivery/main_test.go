package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidings-go/tidings/examples/internal/trial"
)

func TestMain(m *testing.M) { trial.Main(m, main) }

// The program prints lines to try; each of them works as it is printed, one after the other.
func TestTheLinesThatItPrintsWork(t *testing.T) {
	t.Parallel()
	p := trial.Start(t, trial.Program(t, "--addr", "127.0.0.1:0", "--audit-wait", "10ms"))
	lines := p.Lines("curl ")
	if len(lines) != 8 {
		t.Errorf("it printed %d lines to try", len(lines))
	}
	trial.Curl(t, lines)
	p.Interrupt()
	if log := p.Log(); !strings.Contains(log, "stream=dev.order.internal.orders.v1") || !strings.Contains(log, "sequence=1") {
		t.Errorf("it did not log where the broker has stored the event:\n%s", log)
	}
}

func TestTheReadmeHasTheSameLines(t *testing.T) {
	trial.Readme(t, fmt.Sprintf(welcome, "http://127.0.0.1:8080"))
}

func TestWrongCallsAreRefused(t *testing.T) {
	for _, args := range [][]string{{"--load", "-1"}, {"-o", "xml"}, {"load"}, {"--brocker", "nats://localhost"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	if err := run(t.Context(), options{store: "memory:"}, nil); err == nil || !strings.Contains(err.Error(), "needs one, such as sqlite") {
		t.Errorf("a store without SQL: %v", err)
	}
}
