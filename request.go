package tidings

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/google/uuid"
)

// callTimeout bounds a call whose context has no deadline.
const callTimeout = 10 * time.Second

// Request is a typed question or command and its typed answer. It is made by [DefineRequest], as a package variable; one module answers it
// ([Serve], [Handle], [HandleTx]), others call it. It never changes, so it is safe for concurrent use.
type Request[Q, R any] struct{ c requestCore }

// Requested is any *Request.
type Requested interface {
	Definition() Definition
	request() *requestCore
}

// requestCore is what a request is without its types.
type requestCore struct {
	def Definition
	// errs are the mistakes in the definition; travel is what JSON can't carry, which is a mistake only where it has to.
	errs, travel []error
}

// DefineRequest makes a request. Like an event's, its identity is written down. Question and answer travel as JSON, but inside a process they
// are handed over as they are.
//
// The scope [Internal] keeps a request inside its app. Others are answered to other processes too, where [Config].Remote says so.
//
// DefineRequest does not panic: mistakes are kept with file and line, and reported by [App.Check] and by Call.
func DefineRequest[Q, R any](domain, name, version string, scope ...Scope) *Request[Q, R] {
	c := core{def: Definition{Domain: domain, Name: name, Version: version, Entity: "request", TopicDomain: domain, Where: callerAt(0)}}
	c.checkNames()
	for _, s := range scope {
		c.def.Scope = s
	}
	c.def.Topic = "requests." + c.def.identity()
	r := &Request[Q, R]{requestCore{def: c.def, errs: c.errs}}
	r.c.travel = append(checkJSON(reflect.TypeFor[Q]()), checkJSON(reflect.TypeFor[R]())...)
	return r
}

// Definition describes the request in the words for events: its domain is the provider's, its topic is where it travels.
func (r *Request[Q, R]) Definition() Definition { return r.c.def }

func (r *Request[Q, R]) request() *requestCore { return &r.c }

func (c *requestCore) err() error {
	if len(c.errs) == 0 {
		return nil
	}
	return fmt.Errorf("tidings: request %s (%s): %w", c.def.identity(), c.def.Where, errors.Join(c.errs...))
}

// CallOption changes one call: see [Once].
type CallOption func(*callOptions)

type callOptions struct{ key string }

// Once gives a command a key of the caller's choice (of 1 to 200 printable ASCII characters) and makes its effect happen once: who calls again with the same key
// gets the answer of the first call, and the command is not handled again. While the first call runs, the second waits for it. A call that failed
// doesn't count. The same key with another command is a CodeConflict. Keys are per request; put the tenant's or user's name into the key where
// those choose it. Only [HandleTx] has that, since the note about the key is in the command's transaction; [Serve] has no effect to repeat, and [Handle]
// refuses.
func Once(key string) CallOption { return func(o *callOptions) { o.key = key } }

func checkKey(key string) error {
	if len(key) > 200 || strings.ContainsFunc(key, func(r rune) bool { return r < '!' || r > '~' }) {
		return fmt.Errorf("idempotency key %q: want 1 to 200 printable ASCII characters without spaces: %w", key, CodeInvalid)
	}
	return nil
}

// Call asks, on behalf of a module or an app, and waits for the answer: until ctx ends, or ten seconds when it has no deadline. It may be called before Run
// has started the provider's module, and waits for that too.
//
// A provider in the same app is called directly, on the caller's goroutine and without serialisation: what question and answer point to is shared. Its context is the
// caller's. Where no module of the app serves the request and [Config].Remote is set, another process is asked over the broker.
//
// Every error is an [*Error] with a [Code]. CodeUnserved comes at once when nobody serves the request. A command that is called inside a transaction still
// has a transaction of its own.
func (r *Request[Q, R]) Call(ctx context.Context, h Host, question Q, options ...CallOption) (R, error) {
	var none R
	if r == nil || r.c.def.Name == "" {
		return none, &Error{Request: "of no name", Code: CodeInternal, Detail: "the request is nil or empty: make it with DefineRequest"}
	}
	var o callOptions
	for _, option := range options {
		option(&o)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTimeout)
		defer cancel()
	}
	answer, err := r.call(ctx, h.host().app, question, o.key)
	if err != nil {
		return none, newError(ctx, r.c.def.identity(), err)
	}
	return answer, nil
}

// call finds who answers, and asks there.
func (r *Request[Q, R]) call(ctx context.Context, a *App, question Q, key string) (answer R, err error) {
	if err = errors.Join(r.c.err(), checkKey(key)); err != nil {
		return answer, err
	}
	m, err := a.question(ctx, &r.c)
	if err != nil {
		return answer, err
	}
	e := a.endpoint(&r.c)
	if e == nil && (!a.cfg.Remote || r.c.def.IsInternal()) {
		return answer, fmt.Errorf("no module of %s serves it: %w", a.cfg.Service, CodeUnserved)
	}
	if e != nil {
		if err = e.module.await(ctx); err != nil {
			return answer, err
		}
		ctx = e.context(ctx, m, key)
		if typed, ok := e.typed.(typedAnswer[Q, R]); ok {
			answer, err = typed(ctx, e, question, key)
			return answer, passOn(err)
		}
	}
	// The provider, here or elsewhere, may have types of its own: what they have in common is JSON.
	if m.Data, err = json.Marshal(question); err != nil {
		return answer, fmt.Errorf("encode the question: %w", err)
	}
	var data []byte
	if e != nil {
		data, err = e.untyped(ctx, e, m.Data, key)
		err = passOn(err)
	} else {
		data, err = a.ask(ctx, &r.c, m, key)
	}
	if err != nil {
		return answer, err
	}
	if err = json.Unmarshal(data, &answer); err != nil {
		return answer, fmt.Errorf("decode the answer: %w", err)
	}
	return answer, nil
}

// passOn hides that somebody else does not serve what a provider called: that says nothing about the provider.
func passOn(err error) error {
	if CodeOf(err) == CodeUnserved {
		return &passedOn{err}
	}
	return err
}

// passedOn is an error whose code was hidden.
type passedOn struct{ err error }

func (p *passedOn) Error() string { return p.err.Error() }

func (p *passedOn) Unwrap() []error { return []error{CodeUnavailable, p.err} }

// question is the request as a message: what [MessageFrom] tells the provider about it, and what travels.
func (a *App) question(ctx context.Context, c *requestCore) (Message, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Message{}, fmt.Errorf("make an id: %w", err)
	}
	m := Message{ID: id.String(), Type: c.def.identity(), Source: a.source, Time: time.Now(), ContentType: JSON{}.ContentType()}
	m.inherit(ctx)
	return m, nil
}
