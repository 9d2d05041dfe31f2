package platform

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Request asks for a booking.
type Request struct {
	// Show is the show's name: lower-case letters, digits and '-', at most 64.
	Show string `json:"show"`
	// Customer is a name of at most 100 characters.
	Customer string `json:"customer"`
	// Seats is how many seats, 1 to 20.
	Seats int `json:"seats"`
}

// Invalid is a request that can't be right. It lists every field that is at fault.
type Invalid struct{ Fields []Field }

// Field is what is wrong with one field.
type Field struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// Error lists the fields.
func (i *Invalid) Error() string {
	list := make([]string, len(i.Fields))
	for n, f := range i.Fields {
		list[n] = f.Field + ": " + f.Detail
	}
	return "invalid request: " + strings.Join(list, "; ")
}

var showPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

// check returns an [*Invalid], or nil.
func (r *Request) check() error {
	var fields []Field
	wrong := func(field, format string, args ...any) {
		fields = append(fields, Field{field, fmt.Sprintf(format, args...)})
	}
	if !showPattern.MatchString(r.Show) {
		wrong("show", "want 1 to 64 lower-case letters, digits and '-', such as \"hamlet\"")
	}
	switch name := r.Customer; {
	case strings.TrimSpace(name) == "":
		wrong("customer", "want a name")
	case utf8.RuneCountInString(name) > 100:
		wrong("customer", "want at most 100 characters")
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		wrong("customer", "want text without control characters")
	}
	if r.Seats < 1 || r.Seats > 20 {
		wrong("seats", "want 1 to 20, not %d", r.Seats)
	}
	if fields == nil {
		return nil
	}
	return &Invalid{fields}
}
