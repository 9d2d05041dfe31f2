package cloudevents_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/cloudevents"
)

func TestTimesOfRFC3339AreRead(t *testing.T) {
	moment := time.Date(2018, 4, 5, 17, 31, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2018-04-05T17:31:00Z":                moment,
		"2018-04-05t17:31:00z":                moment,
		"2018-04-05T17:31:00.000000000Z":      moment,
		"2018-04-05T18:31:00+01:00":           moment,
		"2018-04-05T16:31:00-01:00":           moment,
		"2018-04-05T17:31:00-00:00":           moment,
		"2018-04-06T17:30:00+23:59":           moment,
		"2018-04-05T17:31:00.5Z":              moment.Add(500 * time.Millisecond),
		"2018-04-05T17:31:00.123456789Z":      moment.Add(123456789),
		"2018-04-05T17:31:00.1234567899999Z":  moment.Add(123456789),
		"2020-02-29T00:00:00Z":                time.Date(2020, 2, 29, 0, 0, 0, 0, time.UTC),
		"1990-12-31T23:59:60Z":                time.Date(1990, 12, 31, 23, 59, 59, 999999999, time.UTC),
		"1990-12-31T15:59:60.5-08:00":         time.Date(1990, 12, 31, 23, 59, 59, 999999999, time.UTC),
		"9999-12-31T23:59:59.999999999Z":      time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC),
		"0000-01-01T00:00:00Z":                time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC),
		"2018-04-05T17:31:00.000000001+00:00": moment.Add(1),
	} {
		got, ok := cloudevents.ParseTime(text)
		if !ok || !got.Equal(want) {
			t.Errorf("%s: got %v, %v, want %v", text, got, ok, want)
		}
	}
}

func TestOtherTimesAreRefused(t *testing.T) {
	for _, text := range []string{
		"lunchtime", "2018-04-05T18:31Z", "2018-04-05T18:31:00X", "2018-04-05T18:31:00+25:00", "2018-04-05T18:31:00+xx:00", "2018-04-05T18:31:00+05",
		"2018-04-05T8:31:00Z", "2018-04-05T18:31:00,5Z", "2018-04-05T18:31:00", "2018-04-05 18:31:00Z", "2018-04-05T18:31:00.Z", "2018-04-05T18:31:00.5",
		"2018-04-05T18:31:00+05:60", "2018-04-05T18:31:00+0500", "2018-04-05T18:31:00+05:00Z", "2018-04-05T18:31:00ZZ", "2018-04-05T24:00:00Z",
		"2018-04-05T18:60:00Z", "2018-04-05T18:31:61Z", "2018-04-05T18:31:60Z", "2018-04-05T18:59:60Z", "2018-04-05T23:31:60Z", "2018-02-29T00:00:00Z", "2018-04-31T00:00:00Z", "2018-13-01T00:00:00Z",
		"2018-00-01T00:00:00Z", "2018-01-00T00:00:00Z", "18-04-05T18:31:00Z", "+2018-04-05T18:31:00Z", "-018-04-05T18:31:00Z", "2018-04-05T18:31:-1Z",
		"2018/04/05T18:31:00Z", "2018-04-05T18.31.00Z", "2018-04-05T18:31:00 Z", " 2018-04-05T18:31:00Z", "0000-01-01T00:00:00+00:01",
		"9999-12-31T23:59:59-00:01", "٢٠١٨-04-05T18:31:00Z", "2018-04-05T18:31:00.5.5Z", "2018-04-05",
	} {
		if got, ok := cloudevents.ParseTime(text); ok {
			t.Errorf("%s: got %v, want an error", text, got)
		}
		_, err := cloudevents.Decode(minimalHeaders(broker.Header{Name: "ce-time", Value: text}), nil)
		wantAttributeError(t, err, "time", "RFC 3339")
	}
}

func FuzzParseTime(f *testing.F) {
	for _, text := range []string{
		"2018-04-05T17:31:00Z", "2018-04-05t17:31:00.123z", "1990-12-31T15:59:60-08:00", "2018-04-05T8:31:00Z", "2018-04-05T18:31:00,5Z", "0000-01-01T00:00:00Z",
	} {
		f.Add(text)
	}
	grammar := regexp.MustCompile(`^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$`)
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := cloudevents.ParseTime(text)
		if ok {
			again, same := cloudevents.ParseTime(got.Format(time.RFC3339Nano))
			if !same || !again.Equal(got) {
				t.Fatalf("%q: %v is read again as %v, %v", text, got, again, same)
			}
		}
		if len(text) > 19 && text[17:19] == "60" {
			return // a leap second, which time.Parse does not know
		}
		want, err := time.Parse(time.RFC3339Nano, strings.ToUpper(text))
		year := want.UTC().Year()
		valid := err == nil && grammar.MatchString(text) && year >= 0 && year <= 9999
		if ok != valid || ok && !got.Equal(want) {
			t.Fatalf("%q: got %v, %v, want %v, %v", text, got, ok, want, valid)
		}
	})
}
