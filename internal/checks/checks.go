// Package checks refuses what broker adapters can't take, with the same words on each of them.
package checks

import (
	"fmt"
	"strings"

	"github.com/tidings-go/tidings/broker"
)

// maxName is how long a topic or group may be: as everywhere in tidings, so that a service can move to another broker, and so that the names that
// adapters make of it fit into a server's limit of 255 bytes.
const maxName = 200

// Name refuses topics and groups that can't be part of a server's own names. What it lets through maps to those one to one. What says whether it is a
// "topic" or a "group"; the error is [broker.ErrInvalid].
func Name(what, name string) error {
	if name == "" {
		return fmt.Errorf("the %s has no name: %w", what, broker.ErrInvalid)
	}
	if len(name) > maxName {
		return fmt.Errorf("the %s %.20s… is %d bytes long, at most %d are possible: %w", what, name, len(name), maxName, broker.ErrInvalid)
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-' {
			return fmt.Errorf("the %s %q has %q in its name, possible are letters a-z and A-Z, digits, '.', '_' and '-': %w", what, name, r, broker.ErrInvalid)
		}
	}
	if strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") || strings.Contains(name, "..") {
		return fmt.Errorf("the %s %q must have something before, between and after its dots: %w", what, name, broker.ErrInvalid)
	}
	return nil
}

// Reader refuses readers that ask for what no broker does.
func Reader(r broker.Reader) error {
	if len(r.Topics) == 0 {
		return fmt.Errorf("the reader has no topics: %w", broker.ErrInvalid)
	}
	if r.Group == "" {
		return nil
	}
	if r.ToEnd {
		return fmt.Errorf("group %s: only a reader without a group can read to the end: %w", r.Group, broker.ErrInvalid)
	}
	return Name("group", r.Group)
}
