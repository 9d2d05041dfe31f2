package connect

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are what follows the question mark. Each scheme reads those that it has, and err says what is left over or wrong.
type options struct {
	values  url.Values
	known   []string
	secrets []string
	errs    []error
}

// value is what an option says, and whether it was given.
func (o *options) value(name string) (string, bool) {
	o.known = append(o.known, name)
	given := o.values[name]
	if len(given) > 1 {
		o.errs = append(o.errs, fmt.Errorf("option %s is there %d times: want it once", name, len(given)))
	}
	if len(given) == 0 {
		return "", false
	}
	return given[0], true
}

func (o *options) wrong(name, value, want string) {
	o.errs = append(o.errs, fmt.Errorf("option %s=%s: want %s", name, value, want))
}

func (o *options) text(name string, into *string) {
	v, ok := o.value(name)
	if ok && v == "" {
		o.wrong(name, v, "a value")
	}
	*into = v
}

// secret reads a text that no error may contain.
func (o *options) secret(name string, into *string) {
	o.text(name, into)
	if *into != "" {
		o.secrets = append(o.secrets, *into, url.QueryEscape(*into))
	}
}

// oneOf reads an option that is one of a few words.
func (o *options) oneOf(name string, into *string, words ...string) {
	v, ok := o.value(name)
	if ok && !slices.Contains(words, v) {
		o.wrong(name, v, strings.Join(words, ", "))
	}
	*into = v
}

func (o *options) number(name string, into *int) {
	v, ok := o.value(name)
	if !ok {
		return
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil || n < 1 {
		o.wrong(name, v, "a positive whole number")
		return
	}
	*into = int(n)
}

func (o *options) duration(name string, into *time.Duration) {
	v, ok := o.value(name)
	if !ok {
		return
	}
	d, err := parseDuration(v)
	if err != nil || d <= 0 {
		o.wrong(name, v, `a duration such as "90s", "1h30m" or "7d"`)
		return
	}
	*into = d
}

func (o *options) flag(name string, into *bool) {
	switch v, ok := o.value(name); {
	case !ok:
	case v == "true", v == "false":
		*into = v == "true"
	default:
		o.wrong(name, v, "true or false")
	}
}

// err says what is wrong with the options, all of it. Values of unknown options are not shown.
func (o *options) err() error {
	slices.Sort(o.known)
	for _, name := range slices.Sorted(maps.Keys(o.values)) {
		switch {
		case slices.Contains(o.known, name):
		case len(o.known) == 0:
			o.errs = append(o.errs, fmt.Errorf("unknown option %q: there are none", name))
		default:
			o.errs = append(o.errs, fmt.Errorf("unknown option %q: known are %s", name, listed(o.known)))
		}
	}
	return errors.Join(o.errs...)
}

// parseDuration knows days besides what Go knows.
func parseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(s)
}

func listed(names []string) string { return strings.Join(names, ", ") }
