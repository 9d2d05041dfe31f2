package scaffold

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Field is a field of a payload.
type Field struct {
	// GoName and GoType are as in the struct.
	GoName, GoType string
	// Tag is the struct tag, with its quotes.
	Tag string
	// Sample is a value, as Go code; empty where the type is none of ours. JSON is the same value as JSON, Key as a part of a key.
	Sample, JSON, Key string

	isKey bool
}

// kind is a type that a field can have.
type kind struct {
	name, goType string
	sample, json string
	pkg          string // what its Go type and sample need to be imported
	key          bool   // it can be a key
}

const sampleID = "0198f2a0-5b1c-7c3e-9d4f-112233445566"

// kinds are the types that fields can have; a string's sample depends on the field.
var kinds = []kind{
	{name: "string", goType: "string", key: true},
	{name: "int", goType: "int", sample: "1", json: "1", key: true},
	{name: "int64", goType: "int64", sample: "1", json: "1", key: true},
	{name: "float64", goType: "float64", sample: "1.5", json: "1.5"},
	{name: "bool", goType: "bool", sample: "true", json: "true", key: true},
	{name: "uuid", goType: "uuid.UUID", sample: `uuid.MustParse("` + sampleID + `")`, json: `"` + sampleID + `"`, pkg: "github.com/google/uuid", key: true},
	{name: "time", goType: "time.Time", sample: "time.Date(2026, time.January, 2, 3, 4, 5, 0, time.UTC)", json: `"2026-01-02T03:04:05Z"`, pkg: "time"},
}

// parseFields reads "name:type", "name:type:key" and "name:type:subject", where the type is one of kinds or "[]" and one of them.
func parseFields(specs []string) ([]Field, error) {
	if len(specs) == 0 {
		return nil, errors.New("an event has fields: want some, such as order_id:uuid:key amount:int64")
	}
	var fields []Field
	var errs []error
	subject := ""
	for _, spec := range specs {
		f, role, err := parseField(spec)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("field %q: %w", spec, err))
			continue
		case slices.ContainsFunc(fields, func(other Field) bool { return other.GoName == f.GoName }):
			errs = append(errs, fmt.Errorf("field %q: there is a field %s already", spec, f.GoName))
			continue
		case role == "subject" && subject != "":
			errs = append(errs, fmt.Errorf("field %q: %s is the subject already", spec, subject))
			continue
		case role == "subject":
			subject = f.GoName
		}
		fields = append(fields, f)
	}
	return fields, errors.Join(errs...)
}

func parseField(spec string) (f Field, role string, err error) {
	parts := strings.Split(spec, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return f, "", errors.New("want name:type, or name:type:key, such as order_id:uuid:key")
	}
	name, typ := parts[0], parts[1]
	if !fieldPattern.MatchString(name) {
		return f, "", fmt.Errorf("name %q: want lower-case letters and digits, with '_' between words, such as order_id", name)
	}
	f.GoName = goName(name)
	if err = f.setType(name, typ); err != nil {
		return f, "", err
	}
	tag := `json:"` + name + `"`
	if len(parts) == 3 {
		role = parts[2]
		switch k, ok := kindNamed(typ); {
		case role != "key" && role != "subject":
			return f, "", fmt.Errorf("%q after the type: want key or subject", role)
		case !ok || !k.key:
			return f, "", fmt.Errorf("a %s can't be a %s: want one of %s", typ, role, kindNames(func(k kind) bool { return k.key }))
		}
		f.isKey = role == "key"
		tag += ` tidings:"` + role + `"`
	}
	f.Tag = "`" + tag + "`"
	return f, role, nil
}

func (f *Field) setType(name, typ string) error {
	element, list := strings.CutPrefix(typ, "[]")
	k, ok := kindNamed(element)
	if !ok {
		return fmt.Errorf("type %q: want one of %s, or a list such as []string", typ, kindNames(func(kind) bool { return true }))
	}
	f.GoType = k.goType
	f.setSample(name, k)
	if list {
		f.GoType, f.Sample, f.JSON = "[]"+k.goType, "[]"+k.goType+"{"+f.Sample+"}", "["+f.JSON+"]"
	}
	return nil
}

func (f *Field) setSample(name string, k kind) {
	f.Sample, f.JSON = k.sample, k.json
	if k.name == "string" {
		f.Sample = strconv.Quote(strings.ReplaceAll(name, "_", "-") + "-1")
		f.JSON = f.Sample
	}
	f.Key = strings.Trim(f.JSON, `"`)
}

// packages are what the Go code of fields and their samples needs to be imported.
func packages(fields []Field) []string {
	var paths []string
	for _, f := range fields {
		for _, k := range kinds {
			if k.pkg != "" && strings.TrimPrefix(f.GoType, "[]") == k.goType && !slices.Contains(paths, k.pkg) {
				paths = append(paths, k.pkg)
			}
		}
	}
	return paths
}

// sampleKey is the key of a message with the samples.
func sampleKey(fields []Field) string {
	var parts []string
	for _, f := range fields {
		if f.isKey {
			parts = append(parts, f.Key)
		}
	}
	return strings.Join(parts, "|")
}

// sampleJSON is a payload with the samples, as on the wire.
func sampleJSON(fields []Field) string {
	members := make([]string, len(fields))
	for i, f := range fields {
		_, name, _ := strings.Cut(f.Tag, `json:"`)
		name, _, _ = strings.Cut(name, `"`)
		members[i] = strconv.Quote(name) + ":" + f.JSON
	}
	return "{" + strings.Join(members, ",") + "}"
}

func kindNamed(name string) (kind, bool) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
	if i < 0 {
		return kind{}, false
	}
	return kinds[i], true
}

func kindNames(which func(kind) bool) string {
	var names []string
	for _, k := range kinds {
		if which(k) {
			names = append(names, k.name)
		}
	}
	return strings.Join(names, ", ")
}
