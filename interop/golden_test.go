package interop_test

import (
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// golden is a message of an example's testdata/wire.golden, and the event that it is by what the file says.
type golden struct {
	where string
	// on is the server that is its binding's; it is not connected. It is nil for a message that is no event.
	on      server
	message wire
	event   event
}

// The examples' own tests hold their wire.golden against what real servers have; here the SDKs read every message in them.
func TestOthersReadWhatTheExamplesSend(t *testing.T) {
	t.Parallel()
	others := sdks(t)
	for system, events := range goldens(t) {
		for _, other := range others {
			t.Run(system+"/"+other.name(), func(t *testing.T) {
				t.Parallel()
				found, err := misread(t, other, events)
				if err != nil {
					t.Error(err)
				}
				for i, difference := range found {
					if difference != "" {
						t.Errorf("%s: %s", events[i].where, difference)
					}
				}
			})
		}
	}
}

// A message that lacks an attribute is refused, or is seen not to be what the file says: each attribute of an event of each example.
func TestAnAttributeThatIsMissingIsNoticed(t *testing.T) {
	t.Parallel()
	others := sdks(t)
	for system, events := range goldens(t) {
		for _, other := range others {
			t.Run(system+"/"+other.name(), func(t *testing.T) {
				t.Parallel()
				var lacks []string
				var spoilt []golden
				for header := range events[0].message.Headers {
					if attribute := attributeOf(header); attribute != "" {
						lacks, spoilt = append(lacks, attribute), append(spoilt, events[0].without(header))
					}
				}
				found, err := misread(t, other, spoilt)
				if err == nil {
					t.Error("none is refused")
				}
				for i, attribute := range lacks {
					known := other.name() == "python" && attribute == "specversion" // which it takes for granted
					if noticed := found[i] != ""; noticed == known {
						t.Errorf("without %s: noticed is %t: %q", attribute, noticed, spoilt[i].message.Headers)
					}
				}
			})
		}
	}
}

func TestGoldenMessages(t *testing.T) {
	t.Parallel()
	const attributes = "    ce-id: ID-2\n    ce-source: /%41\n    ce-specversion: 1.0\n    ce-type: a.B.v1\n    content-type: application/json\n"
	for _, text := range []string{
		attributes + "    {}\n", "orders\n    ce_id: ID-2\n", "orders\n    no header\n    {}\n", "orders\nkey: 1\n    {}\n", "orders\n    {\n}\n",
		"orders\n    ce_id: ID-2\n    {}\n", "orders\n    content-type: application/cloudevents+json\n    {}\n",
		"orders\n    key: 1\n    ce_partitionkey: 2\n    ce_specversion: 1.0\n    {}\n",
	} {
		if messages, err := parseGolden(text); err == nil {
			t.Errorf("%q is %v", text, messages)
		}
	}
	messages, err := parseGolden("replies\n    Nats-Msg-Id: [1]\n    ok\n\nplain\n" + attributes + "    {\"by\":\"ID-11\"}\n")
	if err != nil || len(messages) != 2 || len(eventsIn(messages)) != 1 {
		t.Fatal(messages, err)
	}
	got := eventsIn(messages)[0]
	want := event{map[string]string{
		"id": "01900000-0000-7000-8000-000000000002", "source": "/%41", "type": "a.B.v1", "datacontenttype": "application/json",
	}, []byte(`{"by":"01900000-0000-7000-8000-000000000011"}`)}
	if got.on.name() != "redis" || got.event.String() != want.String() {
		t.Errorf("%s: %s, want %s", got.on.name(), got.event, want)
	}
}

// misread says for each event how an SDK's reading differs from what the file says, and what the SDK refuses. An example's events are all on one server.
func misread(t *testing.T, other sdk, events []golden) (found []string, refused error) {
	t.Helper()
	on := events[0].on
	messages := make([]wire, len(events))
	for i, g := range events {
		messages[i] = g.message
	}
	got, refused := other.read(t, on, messages)
	for i, g := range events { // one by one: twins have one id
		found = append(found, strings.Join(differences(t, got[i:i+1], []event{other.reads(on, g.event)}), "\n"))
	}
	return found, refused
}

func (g golden) without(header string) golden {
	g.message.Headers = maps.Clone(g.message.Headers)
	delete(g.message.Headers, header)
	if attributeOf(header) == "partitionkey" {
		g.message.Key = "" // where the Python SDK looks for it too
	}
	return g
}

// goldens are the events of all examples that have a wire.golden, by the example's name.
func goldens(t *testing.T) map[string][]golden {
	t.Helper()
	files, err := filepath.Glob("../examples/*/testdata/wire.golden")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 4 {
		t.Fatalf("%q are not all of the reference systems", files)
	}
	systems := map[string][]golden{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		messages, err := parseGolden(string(text))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		events := eventsIn(messages)
		if len(events) == 0 {
			t.Fatalf("%s has no event", file)
		}
		for _, g := range events {
			if g.on.name() != events[0].on.name() {
				t.Fatalf("%s has messages of %s and of %s", file, events[0].on.name(), g.on.name())
			}
		}
		systems[filepath.Base(filepath.Dir(filepath.Dir(file)))] = events
	}
	return systems
}

func eventsIn(messages []golden) []golden {
	return slices.DeleteFunc(slices.Clone(messages), func(g golden) bool { return g.on == nil })
}

// parseGolden reads what examples/internal/trial writes: where a message was, its headers, and its data on one line; then an empty line.
func parseGolden(text string) ([]golden, error) {
	var messages []golden
	for block := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n\n") {
		lines := strings.Split(block, "\n")
		g := golden{where: lines[0], message: wire{Headers: map[string]string{}}}
		for i, indented := range lines[1:] {
			line, ok := strings.CutPrefix(indented, "    ")
			if !ok {
				return nil, fmt.Errorf("%s: line %q is not indented", g.where, indented)
			}
			line = filled(line)
			if i == len(lines)-2 {
				g.message.Value = []byte(line)
				break
			}
			name, value, ok := strings.Cut(line, ": ")
			if !ok {
				return nil, fmt.Errorf("%s: line %q is no header", g.where, line)
			}
			g.message.Headers[name] = value
		}
		if strings.HasPrefix(g.where, " ") || g.message.Value == nil || attributeOf(string(g.message.Value)) != "" {
			return nil, fmt.Errorf("%q is not a place, headers and data", block)
		}
		if err := g.interpret(); err != nil {
			return nil, fmt.Errorf("%s: %w", g.where, err)
		}
		messages = append(messages, g)
	}
	return messages, nil
}

var idPattern, timePattern = regexp.MustCompile(`\bID-\d+\b`), regexp.MustCompile(`\bTIME\b`)

// filled is a line with ids and times where the file has ID-1 and TIME.
func filled(line string) string {
	line = timePattern.ReplaceAllLiteralString(line, "2026-03-01T12:00:00.123456Z")
	return idPattern.ReplaceAllStringFunc(line, func(id string) string {
		n, _ := strconv.Atoi(id[len("ID-"):]) // only digits
		return fmt.Sprintf("01900000-0000-7000-8000-%012d", n)
	})
}

// interpret says which event a message is. One without any attribute was not meant to be an event: it is a reply, or what somebody else has sent.
func (g *golden) interpret() error {
	headers, plain := g.message.Headers, func(value string) (string, error) { return value, nil }
	switch {
	case headers["ce_specversion"] == "1.0":
		g.on, g.message.Key = &kafkaServer{}, headers["key"]
		delete(headers, "key") // which is no header
	case headers["ce-specversion"] == "[1.0]":
		g.on, plain = &natsServer{}, url.PathUnescape
		for name, value := range headers {
			headers[name] = strings.TrimSuffix(strings.TrimPrefix(value, "["), "]")
		}
	case headers["ce-specversion"] == "1.0":
		g.on = &redisServer{}
	default:
		for name, value := range headers {
			if strings.HasPrefix(name, "ce_") || strings.HasPrefix(name, "ce-") || strings.Contains(value, "application/cloudevents") {
				return fmt.Errorf("an event that is not of version 1.0 in binary mode: %q", headers)
			}
		}
		return nil
	}
	g.event = event{map[string]string{}, g.message.Value}
	for name, value := range headers {
		attribute := attributeOf(name)
		if attribute == "" || attribute == "specversion" {
			continue
		}
		var err error
		if g.event.Attributes[attribute], err = plain(value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if key := g.event.Attributes["partitionkey"]; g.on.name() == "kafka" && key != g.message.Key {
		return fmt.Errorf("the record's key is %q, its partitionkey %q", g.message.Key, key)
	}
	return nil
}

// attributeOf is the attribute that a header has, if any.
func attributeOf(header string) string {
	if header == "content-type" {
		return "datacontenttype"
	}
	for _, prefix := range []string{"ce_", "ce-"} {
		if name, ok := strings.CutPrefix(header, prefix); ok {
			return name
		}
	}
	return ""
}
