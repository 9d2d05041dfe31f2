package interop_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/internal/testenv"
)

// pythonSDK is the official SDK for Python, in events.py.
type pythonSDK struct{ python string }

func newPython(t *testing.T) pythonSDK {
	t.Helper()
	python := os.Getenv("TIDINGS_TEST_PYTHON")
	if python == "" {
		const complaint = "this test needs a Python with the CloudEvents SDK: run 'scripts/services up --install' and 'eval \"$(scripts/services env)\"', or set TIDINGS_TEST_PYTHON"
		if testenv.CI() {
			t.Fatal(complaint)
		}
		t.Skip(complaint)
	}
	return pythonSDK{python}
}

func (pythonSDK) name() string { return "python" }

// reads is what the SDK is known to make of an event: its times have microseconds, and an event without one gets the present time.
func (pythonSDK) reads(_ server, e event) event {
	e = e.mapped(func(name, value string) string {
		if at, err := time.Parse(time.RFC3339Nano, value); name == "time" && err == nil {
			return at.Truncate(time.Microsecond).Format(time.RFC3339Nano)
		}
		return value
	})
	if e.Attributes["time"] == "" {
		e.Attributes["time"] = anyTime
	}
	return e
}

func (p pythonSDK) writes(s server, e event) event { return p.reads(s, e) }

func (p pythonSDK) read(t *testing.T, s server, messages []wire) ([]event, error) {
	t.Helper()
	if s.name() == "redis" { // whose fields are not encoded, as HTTP's headers are
		messages = changeHeaders(messages, func(name, value string) (string, string) {
			if strings.HasPrefix(name, "ce-") {
				value = percentEncode(value)
			}
			return name, value
		})
	}
	answers := run[wire, struct {
		event
		Refused string `json:"refused"`
	}](t, p, messages, "read", bindingOf(s))
	events := make([]event, len(messages))
	var refused []error
	for i, answer := range answers {
		events[i] = answer.event
		if answer.Refused != "" {
			refused = append(refused, fmt.Errorf("the Python SDK can't read %q: %s", messages[i].Headers, answer.Refused))
		}
	}
	return events, errors.Join(refused...)
}

func (p pythonSDK) write(t *testing.T, s server, mode string, events []event) []wire {
	t.Helper()
	messages := run[event, wire](t, p, events, "write", bindingOf(s), mode)
	switch s.name() {
	case "nats": // where only structured mode has HTTP's content type
		return changeHeaders(messages, func(name, value string) (string, string) {
			if name == "content-type" && mode == binary {
				name = "ce-datacontenttype"
			}
			return name, value
		})
	case "redis":
		return changeHeaders(messages, func(name, value string) (string, string) {
			plain, err := url.PathUnescape(value)
			if err != nil {
				t.Error(err)
			}
			return name, plain
		})
	default:
		return messages
	}
}

func bindingOf(s server) string {
	if s.name() == "kafka" {
		return "kafka"
	}
	return "http"
}

func changeHeaders(messages []wire, change func(name, value string) (string, string)) []wire {
	changed := make([]wire, len(messages))
	for i, w := range messages {
		changed[i] = wire{map[string]string{}, w.Key, w.Value}
		for name, value := range w.Headers {
			name, value = change(name, value)
			changed[i].Headers[name] = value
		}
	}
	return changed
}

// run hands all of in to events.py, a line each, and returns what comes back.
func run[In, Out any](t *testing.T, p pythonSDK, in []In, args ...string) []Out {
	t.Helper()
	var lines, complaints bytes.Buffer
	encoder := json.NewEncoder(&lines)
	for _, one := range in {
		if err := encoder.Encode(one); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), p.python, append([]string{"events.py"}, args...)...)
	cmd.Stdin, cmd.Stderr = &lines, &complaints
	answer, err := cmd.Output()
	if err != nil {
		t.Fatalf("events.py %s: %v\n%s", strings.Join(args, " "), err, complaints.Bytes())
	}
	out := make([]Out, len(in))
	decoder := json.NewDecoder(bytes.NewReader(answer))
	for i := range out {
		if err := decoder.Decode(&out[i]); err != nil {
			t.Fatal(err)
		}
	}
	return out
}
