package tidings

import (
	"cmp"
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// keyPlan says how to take key and subject out of a payload. It is made once per definition.
type keyPlan struct {
	fields  []keyField
	subject *keyField
}

type keyField struct {
	path   string // JSON path, for people
	index  []int
	order  int // -1: by position
	append func(dst []byte, v reflect.Value) ([]byte, error)
}

func (p *keyPlan) paths() []string {
	if p == nil {
		return nil
	}
	paths := make([]string, len(p.fields))
	for i, f := range p.fields {
		paths[i] = f.path
	}
	return paths
}

// of is the key and subject of a payload: field values joined by '|', with '|' and '\' escaped by '\', so that no two different keys are
// the same string.
func (p *keyPlan) of(payload reflect.Value) (key, subject string, err error) {
	var buf [64]byte
	k := buf[:0]
	for i := range p.fields {
		f := &p.fields[i]
		if i > 0 {
			k = append(k, '|')
		}
		start := len(k)
		if k, err = f.append(k, payload.FieldByIndex(f.index)); err != nil {
			return "", "", fmt.Errorf("key field %s: %w", f.path, err)
		}
		k = escapeKey(k, start)
	}
	if len(p.fields) > 0 && len(k) == len(p.fields)-1 {
		return "", "", fmt.Errorf("key field %s is empty: an event with a key needs one in every message", strings.Join(p.paths(), " and "))
	}
	key = string(k)
	if p.subject == nil {
		return key, key, nil
	}
	s, err := p.subject.append(k[:0], payload.FieldByIndex(p.subject.index))
	if err != nil {
		return "", "", fmt.Errorf("subject field %s: %w", p.subject.path, err)
	}
	return key, string(s), nil
}

func escapeKey(k []byte, start int) []byte {
	if !slices.ContainsFunc(k[start:], isKeySpecial) {
		return k
	}
	value := string(k[start:])
	k = k[:start]
	for i := range len(value) {
		if isKeySpecial(value[i]) {
			k = append(k, '\\')
		}
		k = append(k, value[i])
	}
	return k
}

func isKeySpecial(b byte) bool { return b == '|' || b == '\\' }

// planKey finds the fields of t that are tagged as key or subject. The plan is nil when there are none.
func planKey(t reflect.Type) (*keyPlan, []error) {
	s := keySearch{plan: &keyPlan{}}
	if t.Kind() == reflect.Pointer {
		s.errs = append(s.errs, fmt.Errorf("the payload is a %s, which may be nil; define the event with %s", t, t.Elem()))
	}
	if t.Kind() == reflect.Struct {
		s.walk(t, nil, "", map[reflect.Type]bool{})
	}
	s.sort()
	if len(s.plan.fields) == 0 && s.plan.subject == nil {
		return nil, s.errs
	}
	return s.plan, s.errs
}

type keySearch struct {
	plan *keyPlan
	errs []error
}

func (s *keySearch) walk(t reflect.Type, index []int, path string, above map[reflect.Type]bool) {
	if above[t] {
		return
	}
	above[t] = true
	defer delete(above, t)
	for f := range t.Fields() {
		at := append(slices.Clone(index), f.Index...)
		name := jsonPath(path, f)
		tag, tagged := f.Tag.Lookup("tidings")
		if !f.IsExported() && !f.Anonymous && !tagged {
			if hasTag(f.Type, nil) {
				s.errs = append(s.errs, fmt.Errorf("field %s: JSON does not carry it, so there can be no key in it; export it", name))
			}
			continue
		}
		if tagged {
			s.field(f, tag, at, name)
			continue
		}
		switch {
		case f.Type.Kind() == reflect.Struct && !isText(f.Type):
			s.walk(f.Type, at, name, above)
		case f.Type.Kind() == reflect.Pointer && f.Type.Elem().Kind() == reflect.Struct && hasTag(f.Type.Elem(), nil):
			s.errs = append(s.errs, fmt.Errorf("field %s: a key inside a pointer may be missing; make it a %s", name, f.Type.Elem()))
		}
	}
}

func (s *keySearch) field(f reflect.StructField, tag string, index []int, path string) {
	what, rest, _ := strings.Cut(tag, ",")
	field := keyField{path: path, index: index, order: -1}
	if what != "key" && what != "subject" {
		s.errs = append(s.errs, fmt.Errorf("field %s: tag tidings:%q: want \"key\", \"key,order=N\" or \"subject\"", path, tag))
		return
	}
	if rest != "" {
		n, err := strconv.Atoi(strings.TrimPrefix(rest, "order="))
		if err != nil || n < 0 || what == "subject" || !strings.HasPrefix(rest, "order=") {
			s.errs = append(s.errs, fmt.Errorf("field %s: tag tidings:%q: want \"key,order=N\" with N from 0", path, tag))
			return
		}
		field.order = n
	}
	if f.Tag.Get("json") == "-" {
		s.errs = append(s.errs, fmt.Errorf("field %s: JSON does not carry it, so it can't be a %s; remove the tag json:\"-\"", path, what))
		return
	}
	if !f.IsExported() {
		s.errs = append(s.errs, fmt.Errorf("field %s: a %s must be exported, or JSON does not carry it", path, what))
		return
	}
	if field.append = appender(f.Type); field.append == nil {
		s.errs = append(s.errs, fmt.Errorf("field %s: a %s can't be a %s; use a string, an integer, a bool or a type with MarshalText", path, f.Type, what))
		return
	}
	if what == "key" {
		s.plan.fields = append(s.plan.fields, field)
		return
	}
	if s.plan.subject != nil {
		s.errs = append(s.errs, fmt.Errorf("field %s: %s is the subject already; tag one field", path, s.plan.subject.path))
		return
	}
	s.plan.subject = &field
}

// sort puts the key's fields in order and refuses orders that are given twice or only to some.
func (s *keySearch) sort() {
	fields := s.plan.fields
	slices.SortStableFunc(fields, func(a, b keyField) int { return cmp.Compare(a.order, b.order) })
	for i := 1; i < len(fields); i++ {
		a, b := fields[i-1], fields[i]
		switch {
		case a.order < 0 && b.order >= 0:
			s.errs = append(s.errs, fmt.Errorf("key fields %s and %s: give order=N to all key fields or to none", a.path, b.path))
		case a.order >= 0 && a.order == b.order:
			s.errs = append(s.errs, fmt.Errorf("key fields %s and %s: both have order=%d", a.path, b.path, a.order))
		}
	}
}

func hasTag(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] || t.Kind() != reflect.Struct {
		return false
	}
	if seen == nil {
		seen = map[reflect.Type]bool{}
	}
	seen[t] = true
	for f := range t.Fields() {
		if _, ok := f.Tag.Lookup("tidings"); ok || hasTag(f.Type, seen) {
			return true
		}
	}
	return false
}

func jsonPath(path string, f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "" && f.Anonymous {
		return path
	}
	name = cmp.Or(name, f.Name)
	if path == "" {
		return name
	}
	return path + "." + name
}

var textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()

func isText(t reflect.Type) bool {
	return t.Implements(textMarshaler) || reflect.PointerTo(t).Implements(textMarshaler)
}

// appender is how a value of type t is written into a key; nil when it can't be.
func appender(t reflect.Type) func([]byte, reflect.Value) ([]byte, error) {
	if t.Kind() != reflect.Pointer && isText(t) {
		return appendText
	}
	switch t.Kind() {
	case reflect.String:
		return func(dst []byte, v reflect.Value) ([]byte, error) { return append(dst, v.String()...), nil }
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(dst []byte, v reflect.Value) ([]byte, error) { return strconv.AppendInt(dst, v.Int(), 10), nil }
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return func(dst []byte, v reflect.Value) ([]byte, error) { return strconv.AppendUint(dst, v.Uint(), 10), nil }
	case reflect.Bool:
		return func(dst []byte, v reflect.Value) ([]byte, error) { return strconv.AppendBool(dst, v.Bool()), nil }
	default:
		return nil
	}
}

func appendText(dst []byte, v reflect.Value) ([]byte, error) {
	text, ok := reflect.TypeAssert[encoding.TextMarshaler](v.Addr())
	if !ok {
		return nil, fmt.Errorf("%s has no MarshalText", v.Type())
	}
	b, err := text.MarshalText()
	if err != nil {
		return nil, err
	}
	return append(dst, b...), nil
}
