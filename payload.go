package tidings

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

var jsonMarshaler = reflect.TypeFor[json.Marshaler]()

// checkJSON lists the fields of a payload's type that JSON can't carry, each with its path.
func checkJSON(t reflect.Type) []error {
	c := jsonCheck{seen: map[reflect.Type]bool{}}
	c.check(t, "")
	return c.errs
}

type jsonCheck struct {
	seen map[reflect.Type]bool
	errs []error
}

func (c *jsonCheck) check(t reflect.Type, path string) {
	if c.seen[t] || marshalsItself(t) {
		return
	}
	c.seen[t] = true
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		c.refuse(path, "JSON can't carry a %s; give it the tag `json:\"-\"` or another type", t)
		delete(c.seen, t) // every place of it is a mistake of its own
	case reflect.Pointer, reflect.Slice, reflect.Array:
		c.check(t.Elem(), path)
	case reflect.Map:
		if !isMapKey(t.Key()) {
			c.refuse(path, "JSON can't carry a map with keys of %s; use strings, integers or a type with MarshalText", t.Key())
		}
		c.check(t.Elem(), path)
	case reflect.Struct:
		if path == "" && hidesAll(t) {
			c.refuse(path, "JSON leaves out fields that begin with a small letter, and %s has no others; export them", t)
		}
		for f := range t.Fields() {
			if tag := f.Tag.Get("json"); tag == "-" || (!f.IsExported() && !f.Anonymous) {
				continue
			}
			c.check(f.Type, jsonPath(path, f))
		}
	default:
	}
}

// hidesAll reports whether a struct has fields, and none that other packages see.
func hidesAll(t reflect.Type) bool {
	named := 0
	for f := range t.Fields() {
		if f.IsExported() || f.Anonymous {
			return false
		}
		if f.Name != "_" {
			named++
		}
	}
	return named > 0
}

func (c *jsonCheck) refuse(path, format string, args ...any) {
	where := "payload"
	if path != "" {
		where = "field " + path
	}
	c.errs = append(c.errs, fmt.Errorf(where+": "+strings.TrimSpace(format), args...))
}

func marshalsItself(t reflect.Type) bool {
	return t.Implements(jsonMarshaler) || reflect.PointerTo(t).Implements(jsonMarshaler) || isText(t)
}

func isMapKey(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	default:
		return t.Implements(reflect.TypeFor[encoding.TextMarshaler]())
	}
}
