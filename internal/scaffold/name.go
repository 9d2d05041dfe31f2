package scaffold

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

var (
	domainPattern  = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	eventPattern   = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	versionPattern = regexp.MustCompile(`^v[1-9][0-9]{0,3}$`)
	withVersion    = regexp.MustCompile(`V[0-9]+$`)
	fieldPattern   = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
)

func checkDomain(what, name string) error {
	if !domainPattern.MatchString(name) {
		return fmt.Errorf("%s %q: want lower-case letters, digits and '-' between them, such as %q", what, name, "order-desk")
	}
	return nil
}

func checkEvent(name, version string) error {
	switch {
	case !eventPattern.MatchString(name):
		return fmt.Errorf("event %q: want letters and digits that begin with a capital, such as %q", name, "OrderPlaced")
	case withVersion.MatchString(name):
		return fmt.Errorf("event %q: the version is no part of the name: leave it out, and say --version v2", name)
	case !versionPattern.MatchString(version):
		return fmt.Errorf("--version %q: want v and a number, such as %q", version, "v2")
	}
	return nil
}

// initialisms are written in capitals in Go names.
var initialisms = strings.Fields(`acl api ascii cpu css dns eof guid html http https id ip json qps ram rpc sla smtp sql ssh tcp tls ttl udp ui uid
	uri url utf8 uuid vm xml xmpp xsrf xss`)

// goName is the Go name of words: "order_id" is OrderID, "order-desk" is OrderDesk.
func goName(name string) string {
	var b strings.Builder
	for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '_' || r == '-' }) {
		if slices.Contains(initialisms, word) {
			b.WriteString(strings.ToUpper(word))
		} else {
			b.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return b.String()
}

// fileName is a Go name as a part of a file's name: "OrderPlaced" is order_placed, "HTTPFailed" is http_failed.
func fileName(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := rune(name[i])
		if unicode.IsUpper(c) && i > 0 && (!unicode.IsUpper(rune(name[i-1])) || i+1 < len(name) && unicode.IsLower(rune(name[i+1]))) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}
