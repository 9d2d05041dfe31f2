package redis

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// errReply says that the server's answer is not what the protocol allows.
var errReply = errors.New("the server's answer can't be read")

// serverError is an error that the server answered with.
type serverError string

func (e serverError) Error() string { return string(e) }

// RedisError makes it an error like those of go-redis.
func (serverError) RedisError() {}

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

// line is the next line without its end.
func (r *reply) line() ([]byte, error) {
	line, rest, found := bytes.Cut(r.rest, []byte("\r\n"))
	if !found || len(line) == 0 {
		return nil, errReply
	}
	r.rest = rest
	if line[0] == '-' {
		return nil, serverError(line[1:])
	}
	return line, nil
}

// array is the number of elements that follow; -1: there is nothing instead of an array.
func (r *reply) array() (int, error) {
	line, err := r.line()
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(string(line[1:]))
	if err != nil || n < -1 || line[0] != '*' && n != -1 || n > len(r.rest) {
		return 0, fmt.Errorf("%w: %.100q is no array", errReply, line)
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
	line, err := r.line()
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(string(line[1:]))
	if err != nil || line[0] != '$' || n < 0 || n > len(r.rest)-2 {
		return nil, fmt.Errorf("%w: %.100q is no string", errReply, line)
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

// stream reads the answer of XREAD and XREADGROUP for one stream. It calls each for every entry; fields are valid during the call.
func (r *reply) stream(each func(entry)) error {
	n, err := r.array()
	if err != nil || n <= 0 {
		return err
	}
	if err = r.arrayOf(2); err != nil {
		return err
	}
	if _, err = r.text(); err != nil {
		return err
	}
	return r.entries(each)
}

func (r *reply) entries(each func(entry)) error {
	n, err := r.array()
	if err != nil {
		return err
	}
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

// claimed reads the answer of XAUTOCLAIM: where to go on, the entries, and the IDs of those that were deleted.
func (r *reply) claimed(each func(entry)) (next entryID, deleted []entryID, err error) {
	if err = r.arrayOf(3); err != nil {
		return next, nil, err
	}
	if next, err = r.id(); err != nil {
		return next, nil, err
	}
	if err = r.entries(each); err != nil {
		return next, nil, err
	}
	n, err := r.array()
	for range max(n, 0) {
		var id entryID
		if id, err = r.id(); err != nil {
			break
		}
		deleted = append(deleted, id)
	}
	return next, deleted, err
}
