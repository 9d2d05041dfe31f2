package tidings_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings"
)

type seat struct {
	Row string `json:"row" tidings:"key"`
}

type composite struct {
	TenantID uuid.UUID `json:"tenant_id" tidings:"key"`
	Region   string    `json:"region" tidings:"key"`
	N        int64     `json:"n"`
}

func TestKeysComeFromTags(t *testing.T) {
	t.Parallel()
	tenant := uuid.MustParse("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
	type ordered struct {
		B string `json:"b" tidings:"key,order=1"`
		A int    `json:"a" tidings:"key,order=0"`
	}
	type nested struct {
		Seat seat `json:"seat"`
	}
	type embedded struct {
		seat
		ID string `json:"id" tidings:"subject"`
	}
	type Seat = seat
	tests := []struct {
		name         string
		message      tidings.Message
		key, subject string
	}{
		{"composite in field order", tidings.Define[composite]("shop", "A", "v1").New(composite{TenantID: tenant, Region: "eu"}), tenant.String() + "|eu", ""},
		{"order=N", tidings.Define[ordered]("shop", "A", "v1").New(ordered{A: 7, B: "x"}), "7|x", ""},
		{"nested", tidings.Define[nested]("shop", "A", "v1").New(nested{Seat{Row: "r"}}), "r", ""},
		{"embedded, with a subject", tidings.Define[embedded]("shop", "A", "v1").New(embedded{Seat{Row: "r"}, "42"}), "r", "42"},
		{"separator and escape are escaped", tidings.Define[ordered]("shop", "A", "v1").New(ordered{A: 1, B: `x|y\z`}), `1|x\|y\\z`, ""},
		{"no key", tidings.Define[struct{ X int }]("shop", "A", "v1").New(struct{ X int }{1}), "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			want := test.subject
			if want == "" {
				want = test.key
			}
			if test.message.Key != test.key || test.message.Subject != want {
				t.Errorf("key %q, subject %q; want %q, %q", test.message.Key, test.message.Subject, test.key, want)
			}
		})
	}
}

func TestDifferentKeysNeverCollide(t *testing.T) {
	t.Parallel()
	type two struct {
		A string `tidings:"key"`
		B string `tidings:"key"`
	}
	e := tidings.Define[two]("shop", "A", "v1")
	seen := map[string]two{}
	parts := []string{"", "|", `\`, `|\`, `\|`, "a", "a|", "a|b", `a\`, `\\`}
	for _, a := range parts {
		for _, b := range parts {
			if a == "" && b == "" {
				continue
			}
			key := e.New(two{a, b}).Key
			if other, ok := seen[key]; ok {
				t.Errorf("%q and %q have the same key %q", other, two{a, b}, key)
			}
			seen[key] = two{a, b}
		}
	}
}

// Each mistake must be reported with the place of the definition, the field's path and a remedy, all of them at once.
func TestCheckReportsMistakesInDefinitions(t *testing.T) {
	t.Parallel()
	type twice struct {
		A string `tidings:"key,order=1"`
		B string `tidings:"key,order=1"`
	}
	type mixed struct {
		A string `tidings:"key,order=1"`
		B string `tidings:"key"`
	}
	type impossible struct {
		In struct {
			F float64 `json:"f" tidings:"key"`
		} `json:"in"`
	}
	type pointer struct {
		In *seat `json:"in"`
	}
	type tag struct {
		A string `tidings:"Key"`
	}
	type hidden struct {
		a string `tidings:"key"` //nolint:unused // the mistake that is looked for
	}
	type small struct {
		a, _ string //nolint:unused // the mistake that is looked for
	}
	type channel struct {
		Deep []map[string]struct {
			C chan int `json:"c"`
		} `json:"deep"`
	}
	type mapKey struct {
		M map[float64]string `json:"m"`
	}
	tests := []struct {
		event tidings.Defined
		want  string
	}{
		{tidings.Define[seat]("", "A", "v1"), `domain ""`},
		{tidings.Define[seat]("shop", "1st", "v1"), `name "1st"`},
		{tidings.Define[seat]("shop", "A", "1"), `version "1"`},
		{tidings.Define[seat]("shop", "B", "v1", tidings.Topic("a b")), `topic "a b"`},
		{tidings.Define[seat]("shop", "C", "v1", tidings.WireType("a b")), `wire type "a b"`},
		{tidings.Define[twice]("shop", "D", "v1"), "A and B: both have order=1"},
		{tidings.Define[mixed]("shop", "E", "v1"), "give order=N to all key fields or to none"},
		{tidings.Define[impossible]("shop", "F", "v1"), "field in.f: a float64 can't be a key"},
		{tidings.Define[pointer]("shop", "G", "v1"), "field in: a key inside a pointer"},
		{tidings.Define[tag]("shop", "H", "v1"), `tidings:"Key"`},
		{tidings.Define[hidden]("shop", "I", "v1"), "must be exported"},
		{tidings.Define[channel]("shop", "J", "v1"), "field deep.c: JSON can't carry a chan int"},
		{tidings.Define[mapKey]("shop", "K", "v1"), "keys of float64"},
		{tidings.Define[small]("shop", "L", "v1"), "begin with a small letter"},
	}
	app := tidings.New(tidings.Config{Service: "shop"})
	for _, test := range tests {
		app.Emits(test.event)
	}
	err := app.Check(t.Context())
	if err == nil {
		t.Fatal("Check found nothing")
	}
	lines := strings.Split(err.Error(), "\n")
	for _, test := range tests {
		found := false
		for _, line := range lines {
			found = found || (strings.Contains(line, test.want) && strings.Contains(line, "definition_test.go:"))
		}
		if !found {
			t.Errorf("no line has %q and its place in:\n%s", test.want, err)
		}
	}
	if err := tidings.Define[twice]("shop", "D", "v1").Publish(t.Context(), app.Direct(), twice{}); err == nil {
		t.Error("Publish took an event whose definition is wrong")
	}
}

func TestEveryDefinitionAnswersIsInternal(t *testing.T) {
	t.Parallel()
	if tidings.Define[seat]("shop", "A", "v1").IsInternal() {
		t.Error("an event is public by default")
	}
	e := tidings.Define[seat]("shop", "A", "v1", tidings.Internal)
	if !e.IsInternal() || !e.Definition().IsInternal() {
		t.Error("the option Internal was ignored")
	}
}

func TestDecodeNamesTheEvent(t *testing.T) {
	t.Parallel()
	e := tidings.Define[seat]("shop", "A", "v1")
	got, err := e.Decode([]byte(`{"row":"7","more":1}`))
	if err != nil || got.Row != "7" {
		t.Errorf("Decode = %v, %v", got, err)
	}
	if _, err := e.Decode([]byte(`{`)); err == nil || !strings.Contains(err.Error(), "shop.A.v1") {
		t.Errorf("the error does not name the event: %v", err)
	}
	other := tidings.Define[seat]("shop", "B", "v1").New(seat{"1"})
	if _, err := e.In(other); err == nil {
		t.Error("In took a message of another event")
	}
}
