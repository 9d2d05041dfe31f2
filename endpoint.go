package tidings

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
)

// Endpoint answers a request: made by [Serve], [Handle] and [HandleTx], and given to Module.Serve.
type Endpoint interface{ endpoint() *endpoint }

// Validator is a question or command that can tell by itself that it can't be right. Validate is called before the function that answers, and its error
// is the answer, with CodeInvalid unless it has a code.
type Validator interface{ Validate() error }

type endpoint struct {
	request *requestCore
	module  *Module // that serves it
	verb    string
	where   string
	// fault is what is wrong with the call that made the endpoint.
	fault string
	// native is the type of transaction that the function asks for; nil for none.
	native reflect.Type
	// typed is a typedAnswer of the provider's types; untyped is the same in JSON.
	typed   any
	untyped func(ctx context.Context, e *endpoint, question []byte, key string) ([]byte, error)
}

func (e *endpoint) endpoint() *endpoint { return e }

// typedAnswer answers a call. The endpoint is an argument because only Module.Serve knows whose it is.
type typedAnswer[Q, R any] func(ctx context.Context, e *endpoint, question Q, key string) (R, error)

// Serve answers a request with what fn returns. A returned error, or a panic, is the answer too, with the [Code] that it wraps.
func Serve[Q, R any](request *Request[Q, R], fn func(ctx context.Context, question Q) (R, error)) Endpoint {
	return newEndpoint("Serve", request, fn == nil, func(ctx context.Context, _ *endpoint, question Q, _ string) (R, error) {
		return fn(ctx, question)
	})
}

// newEndpoint keeps what is wrong with the call for Check.
func newEndpoint[Q, R any](verb string, request *Request[Q, R], missing bool, answer typedAnswer[Q, R]) *endpoint {
	e := &endpoint{verb: verb, where: callerAt(1)}
	switch {
	case request == nil || request.c.def.Name == "":
		e.fault = "the request is nil or empty: make it with DefineRequest"
		e.request = &requestCore{def: Definition{Name: "nil", Where: e.where}}
	case missing:
		e.fault = "the function is nil"
		e.request = &request.c
	default:
		e.request = &request.c
	}
	typed := typedAnswer[Q, R](func(ctx context.Context, e *endpoint, question Q, key string) (out R, err error) {
		defer e.caught(ctx, &err)
		if err = validate(&question); err != nil {
			return out, err
		}
		return answer(ctx, e, question, key)
	})
	e.typed = typed
	e.untyped = func(ctx context.Context, e *endpoint, data []byte, key string) ([]byte, error) {
		question, err := decodeQuestion[Q](data)
		if err != nil {
			return nil, err
		}
		out, err := typed(ctx, e, question, key)
		if err != nil {
			return nil, err
		}
		if data, err = json.Marshal(out); err != nil {
			return nil, fmt.Errorf("encode the answer: %w", err)
		}
		return data, nil
	}
	return e
}

func decodeQuestion[Q any](data []byte) (question Q, err error) {
	defer func() {
		if p := recover(); p != nil { // a question's own UnmarshalJSON
			err = fmt.Errorf("decode the question: panic: %v: %w", p, CodeInvalid)
		}
	}()
	if err = json.Unmarshal(data, &question); err != nil {
		return question, fmt.Errorf("decode the question: %w: %w", err, CodeInvalid)
	}
	return question, nil
}

// validate asks a question whether it can be right. It may have Validate on the value or on the pointer.
func validate[Q any](question *Q) error {
	v, ok := any(question).(Validator)
	if !ok {
		v, ok = any(*question).(Validator) // Q is an interface, or a pointer itself
	}
	if !ok {
		return nil
	}
	err := v.Validate()
	if _, coded := errors.AsType[Code](err); err == nil || coded {
		return err
	}
	return fmt.Errorf("%w: %w", err, CodeInvalid)
}

// caught makes an error of a panic. The stack stays in this process's log: the error may go to another.
func (e *endpoint) caught(ctx context.Context, err *error) {
	p := recover()
	if p == nil {
		return
	}
	e.module.app.log.LogAttrs(ctx, slog.LevelError, "the provider of a request panicked", slog.String("request", e.request.def.identity()),
		slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
	*err = fmt.Errorf("panic: %v", p)
}

// context is ctx for the function that answers: it knows the request as a message.
func (e *endpoint) context(ctx context.Context, m Message, key string) context.Context {
	h := &handling{message: m, group: e.module.app.cfg.Service + "." + m.Type, key: key}
	return h.context(ctx)
}

// Serve makes the module answer requests. Each request has one provider in an app.
func (m *Module) Serve(endpoints ...Endpoint) {
	m.app.change("Serve", func() {
		for _, given := range endpoints {
			if isNil(given) {
				m.fault("Serve was given a nil endpoint")
				continue
			}
			e := *given.endpoint()
			e.module = m
			m.served = append(m.served, &e)
			if id := e.request.def.identity(); m.app.endpoints[id] == nil {
				m.app.endpoints[id] = &e
			}
		}
	})
}

// Calls declares requests that the module calls. It is optional: [App.Check] then refuses to start an app in which nobody serves them, and the app's
// description shows who depends on whom.
func (m *Module) Calls(requests ...Requested) {
	where := callerAt(0)
	m.app.change("Calls", func() {
		for _, r := range requests {
			if isNil(r) {
				m.fault("Calls was given a nil request")
				continue
			}
			m.calls = append(m.calls, calling{r.request(), where})
		}
	})
}

// calling is a request that a module has said it calls, and where.
type calling struct {
	request *requestCore
	where   string
}

// endpoint is who answers a request in this app; nil when nobody does.
func (a *App) endpoint(c *requestCore) *endpoint {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.endpoints[c.def.identity()]
}

// await waits until the module has started.
func (m *Module) await(ctx context.Context) error {
	select {
	case <-m.started:
		return nil
	default:
	}
	select {
	case <-m.started:
		return nil
	case <-m.app.ended:
		return fmt.Errorf("the app has ended before module %s started: %w", m.name, CodeUnavailable)
	case <-ctx.Done():
		return fmt.Errorf("module %s has not started: is the app running, and does the caller's module, if it calls in OnStart, depend on this one? %w", m.name, ctx.Err())
	}
}
