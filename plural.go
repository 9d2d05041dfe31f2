package tidings

import (
	"strings"
	"unicode"
)

// kebab writes a Go name in lower case with dashes: "PaymentMethod" is "payment-method", "HTTPServer" is "http-server".
func kebab(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if r == '_' || r == ' ' {
			r = '-'
		}
		if unicode.IsUpper(r) && i > 0 && runes[i-1] != '-' && runes[i-1] != '_' {
			next := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if !unicode.IsUpper(runes[i-1]) || next {
				b.WriteByte('-')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// These rules are part of the wire: a topic's name is made with them. So they are few, written down here rather than taken from a
// library that may learn better English, and never change; the options Topic and Singular are there for the rest.
var (
	irregularPlurals = map[string]string{
		"child": "children", "man": "men", "person": "people", "woman": "women", "foot": "feet", "tooth": "teeth", "datum": "data",
	}
	samePlural = map[string]bool{
		"data": true, "equipment": true, "information": true, "inventory": true, "money": true, "news": true, "people": true, "series": true,
		"species": true, "staff": true,
	}
)

// plural is the plural of a lower-case English noun; of "payment-method" it changes the last word.
func plural(noun string) string {
	i := strings.LastIndexByte(noun, '-') + 1
	head, word := noun[:i], noun[i:]
	if p, ok := irregularPlurals[word]; ok {
		return head + p
	}
	ends := func(suffixes ...string) bool {
		for _, s := range suffixes {
			if strings.HasSuffix(word, s) {
				return true
			}
		}
		return false
	}
	switch {
	case word == "" || samePlural[word]:
		return noun
	case ends("ss", "us", "is", "x", "z", "ch", "sh"):
		return noun + "es"
	case ends("s"): // it is one already
		return noun
	case ends("y") && !ends("ay", "ey", "iy", "oy", "uy"):
		return noun[:len(noun)-1] + "ies"
	default:
		return noun + "s"
	}
}
