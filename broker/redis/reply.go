package redis

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

// errReply says that the server's answer is not what the protocol allows.
var errReply = errors.New("the server's answer can't be read")

// serverError is an error that the server answered with.
type serverError string

func (e serverError) Error() string { return string(e) }

// RedisError makes it an error like those of go-redis.
func (serverError) RedisError() {}

// answer is what a command with many entries is answered with, as it comes from the server. It is used again and again by one
// reader, so that reading makes no garbage but the records.
type answer struct {
	bytes []byte
}

// keepAnswer is how large an answer may be to be kept for the next.
const keepAnswer = 1 << 20

// clear forgets the last answer.
func (a *answer) clear() {
	a.bytes = a.bytes[:0]
	if cap(a.bytes) > keepAnswer {
		a.bytes = nil
	}
}

// Write implements [io.Writer].
func (a *answer) Write(p []byte) (int, error) {
	a.bytes = append(a.bytes, p...)
	return len(p), nil
}

// ReadFrom implements [io.ReaderFrom], for which go-redis gives a reader that knows its length.
func (a *answer) ReadFrom(r io.Reader) (int64, error) {
	l, ok := r.(*io.LimitedReader)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	begin := len(a.bytes)
	a.bytes = slices.Grow(a.bytes, int(l.N))[:begin+int(l.N)]
	n, err := io.ReadFull(l.R, a.bytes[begin:])
	l.N -= int64(n)
	a.bytes = a.bytes[:begin+n]
	return int64(n), err
}

// reply reads an answer of the server as it came (RESP 2). Answers full of entries are read this way because entries may have
// a field twice, and because it is faster than making a value of everything first.
type reply struct {
	rest []byte
}

// entry is one entry of a stream. An entry that was deleted has no fields.
type entry struct {
	id     entryID
	fields []field
	size   int
}

// header reads what an element begins with: its kind, and its length or number. Errors that the server sent end here. There are
// millions of elements a second, so it looks at each byte once.
func (r *reply) header() (kind byte, n int, err error) {
	text, i := r.rest, 1
	for ; i < len(text) && text[i]-'0' <= 9 && n <= maxBulk; i++ {
		n = 10*n + int(text[i]-'0')
	}
	if i > 1 && i+1 < len(text) && text[i] == '\r' && text[i+1] == '\n' && text[0] != '-' {
		r.rest = text[i+2:]
		return text[0], n, nil
	}
	line, rest, found := bytes.Cut(text, []byte("\r\n"))
	switch {
	case !found || len(line) == 0:
		return 0, 0, errReply
	case line[0] == '-':
		return 0, 0, serverError(line[1:])
	case string(line[1:]) != "-1":
		return 0, 0, fmt.Errorf("%w: %.100q has no length", errReply, line)
	}
	r.rest = rest
	return line[0], -1, nil
}

// array is the number of elements that follow; -1: there is nothing instead of an array.
func (r *reply) array() (int, error) {
	kind, n, err := r.header()
	if err != nil {
		return 0, err
	}
	if kind != '*' && n != -1 || n > len(r.rest) {
		return 0, fmt.Errorf("%w: a %q of %d is no array", errReply, kind, n)
	}
	return n, nil
}

func (r *reply) arrayOf(n int) error {
	got, err := r.array()
	if err == nil && got != n {
		err = fmt.Errorf("%w: an array of %d instead of %d", errReply, got, n)
	}
	return err
}

// text is the next string.
func (r *reply) text() ([]byte, error) {
	kind, n, err := r.header()
	if err != nil {
		return nil, err
	}
	if kind != '$' || n < 0 || n > len(r.rest)-2 {
		return nil, fmt.Errorf("%w: a %q of %d is no string", errReply, kind, n)
	}
	text := r.rest[:n:n]
	r.rest = r.rest[n+2:]
	return text, nil
}

func (r *reply) id() (entryID, error) {
	text, err := r.text()
	if err != nil {
		return entryID{}, err
	}
	id, ok := parseID(text)
	if !ok {
		return id, fmt.Errorf("%w: %.100q is no ID", errReply, text)
	}
	return id, nil
}

// stream begins to read the answer of XREAD and XREADGROUP for one stream, and tells how many entries follow.
func (r *reply) stream() (n int, err error) {
	if n, err = r.array(); err != nil || n <= 0 {
		return 0, err
	}
	if err = r.arrayOf(2); err != nil {
		return 0, err
	}
	if _, err = r.text(); err != nil {
		return 0, err
	}
	return r.array()
}

// entries reads n entries. It calls each for every one; its fields are valid during the call.
func (r *reply) entries(n int, each func(entry)) (err error) {
	var fields []field // used again for each entry
	for range n {
		e := entry{fields: fields[:0]}
		if err = r.arrayOf(2); err != nil {
			return err
		}
		if e.id, err = r.id(); err != nil {
			return err
		}
		before := len(r.rest)
		if e.fields, err = r.fields(e.fields); err != nil {
			return err
		}
		e.size = before - len(r.rest)
		fields = e.fields
		each(e)
	}
	return nil
}

func (r *reply) fields(fields []field) ([]field, error) {
	n, err := r.array()
	if err != nil {
		return nil, err
	}
	for range n / 2 {
		var f field
		if f.name, err = r.text(); err != nil {
			return nil, err
		}
		if f.value, err = r.text(); err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// claimed begins to read the answer of XAUTOCLAIM: where to go on, and how many entries follow. After them come the deleted.
func (r *reply) claimed() (next entryID, n int, err error) {
	if err = r.arrayOf(3); err != nil {
		return next, 0, err
	}
	if next, err = r.id(); err != nil {
		return next, 0, err
	}
	n, err = r.array()
	return next, n, err
}

// deleted reads the IDs of entries that were pending and are gone.
func (r *reply) deleted() (ids []entryID, err error) {
	n, err := r.array()
	for range n {
		var id entryID
		if id, err = r.id(); err != nil {
			break
		}
		ids = append(ids, id)
	}
	return ids, err
}
