package main

import (
	"strings"
	"testing"

	"github.com/tidings-go/tidings/examples/internal/trial"
)

// tool is the command tidings.
var tool trial.Tool

func TestMain(m *testing.M) { trial.Main(m, main, tool.Remove) }

func TestTheLinesThatItPrintsWork(t *testing.T) {
	t.Parallel()
	p := trial.Start(t, trial.Program(t, "--addr", "127.0.0.1:0"))
	answers := trial.Curl(t, curls(t, p, 12))
	if answers[3] != answers[4] || !strings.Contains(answers[3], `"invoice_id":"acme-1"`) {
		t.Errorf("the same key got\n%s\nand\n%s", answers[3], answers[4])
	}
	p.AwaitLog("inventory not available: 1 of gold for invoice acme-2")
	p.Interrupt()
}

// curls are the lines that a process says to try.
func curls(t *testing.T, p *trial.Process, want int) []string {
	t.Helper()
	lines := p.Lines("curl ")
	if len(lines) != want {
		t.Errorf("it printed %d lines to try, not %d", len(lines), want)
	}
	return lines
}

// The same lines work with two processes on what the system is made for.
func TestTheLinesOfTwoProcessesWork(t *testing.T) {
	t.Parallel()
	p := realPlace(t)
	args := []string{"--broker", p.broker, "--store", p.store, "--env", trial.Name("t"), "--addr", "127.0.0.1:0", "--role"}
	commands := trial.Start(t, trial.Program(t, append(args, "api")...))
	questions := trial.Start(t, trial.Program(t, append(args, "notifications")...))
	trial.Curl(t, append(curls(t, commands, 10), curls(t, questions, 3)...))
	questions.AwaitLog("a mail is sent")
	commands.Interrupt()
	questions.Interrupt()
}

func TestTheReadmeHasTheSameLines(t *testing.T) {
	trial.Readme(t, welcome(all, "http://127.0.0.1:8080"))
}

func TestWrongCallsAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"--load", "-1"},
		{"-o", "xml"},
		{"load"},
		{"--brocker", "nats://localhost"},
		{"--role", "boss"},
		{"--role", "api"},
		{"--mail-attempts", "0"},
		{"--role", "notifications", "--broker", "nats://localhost", "--store", "sqlite:x", "--load", "5"},
	} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	if err := run(t.Context(), options{store: "memory:"}, nil); err == nil || !strings.Contains(err.Error(), "needs one, such as sqlite") {
		t.Errorf("a store without SQL: %v", err)
	}
}
