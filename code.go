package tidings

import (
	"context"
	"errors"
	"strings"
)

// Code says what kind of error an answer is. It is itself an error, to be wrapped by who answers and asked for by who calls, in the same
// process or in another:
//
//	return order, fmt.Errorf("no order %s: %w", id, tidings.CodeNotFound)
//
//	if errors.Is(err, tidings.CodeNotFound) {
//
// A service may have codes of its own, in lower case with '-'.
type Code string

// The codes that tidings itself uses, and that package httpapi has a status for.
const (
	// CodeInvalid says that the request can't be right, whatever the state of the provider.
	CodeInvalid Code = "invalid"
	// CodeDenied says that the caller may not do this.
	CodeDenied Code = "denied"
	// CodeNotFound says that what the request is about does not exist.
	CodeNotFound Code = "not-found"
	// CodeConflict says that the request does not fit to the present state.
	CodeConflict Code = "conflict"
	// CodeUnavailable says that something that is needed is not there now. Trying again later may help.
	CodeUnavailable Code = "unavailable"
	// CodeInternal is every error without a code, and a panic.
	CodeInternal Code = "internal"
	// CodeUnserved says that nobody serves the request: it was not handled.
	CodeUnserved Code = "unserved"
	// CodeTimeout says that the answer did not come in time, or that the caller gave up. The request may have been handled.
	CodeTimeout Code = "timeout"
)

// Error is the code's name.
func (c Code) Error() string { return string(c) }

// CodeOf is the code of an error: the outermost in its chain. An error without one is CodeInternal, no error is "".
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if code, ok := errors.AsType[Code](err); ok && code != "" {
		return code
	}
	return CodeInternal
}

// Error is what [Request.Call] returns when there is no answer.
type Error struct {
	// Request is the type of the request.
	Request string
	Code    Code
	// Detail is what the provider said, or what kept the request from it.
	Detail string
	// Err is the error itself. It does not travel: nil when the provider is in another process.
	Err error
}

// Error says what was called, the code and the detail.
func (e *Error) Error() string {
	text := "tidings: call " + e.Request + ": " + string(e.Code)
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Unwrap is the code, and the error where it is known.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Code}
	}
	return []error{e.Code, e.Err}
}

// newError is the error of a call that failed in this process.
func newError(ctx context.Context, request string, err error) *Error {
	if own, ok := err.(*Error); ok && own.Request == request { //nolint:errorlint // only the call's own, which nobody has wrapped
		return own
	}
	code := CodeOf(err)
	if cause := ctx.Err(); cause != nil && errors.Is(err, cause) {
		code = CodeTimeout
	}
	return &Error{Request: request, Code: code, Detail: detail(err, code), Err: err}
}

// detail is the text of err without the code that it was made with.
func detail(err error, code Code) string {
	text := err.Error()
	if text == string(code) {
		return ""
	}
	return strings.TrimSuffix(text, ": "+string(code))
}
