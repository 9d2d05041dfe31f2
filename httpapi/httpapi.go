// Package httpapi answers HTTP requests by calling typed requests and commands: JSON in, JSON out, and problems as RFC 9457 wants them.
//
//	mux := http.NewServeMux()
//	mux.Handle("/bookings", httpapi.Handler(app, BookSeats, httpapi.Config{}))
//
// A client posts the question as JSON:
//
//	POST /bookings
//	Content-Type: application/json
//	Idempotency-Key: 8e03978e-40d5-43dd-bc93-6894a57f9324
//
//	{"show": "Hamlet", "seats": 2}
//
// and gets 200 with the answer as JSON, or a problem (application/problem+json) whose member "code" is the error's tidings.Code:
//
//	{"title": "Conflict", "status": 409, "code": "conflict", "detail": "Hamlet is sold out"}
//
// The status comes from the code:
//
//	invalid 400 · denied 403 · not-found 404 · conflict 409 · a code of the service's own 422
//	internal 500 · unavailable and unserved 503 · timeout 504
//
// The detail of a status from 500 on is logged and not sent. Besides, there are 405 for a method other than POST, 413 for a body that is too large
// and 415 for one that is not JSON.
//
// The package knows nothing of users: put authentication around the handler.
package httpapi

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"

	"github.com/tidings-go/tidings"
)

// Config configures a handler. The zero value is complete.
type Config struct {
	// MaxBytes is the largest body that is read. Default 1 MiB.
	MaxBytes int64
	// UnknownFields accepts members of the question that its type doesn't have, and ignores them. Without it they are a problem that names the first:
	// a misspelt optional field is noticed by who misspelt it.
	UnknownFields bool
	// Status has statuses for codes of the service's own, or other ones for tidings' codes.
	Status map[tidings.Code]int
	// Log gets what clients are not told. Default slog.Default().
	Log *slog.Logger
}

// Problem is the body of an answer that is an error.
type Problem struct {
	Title  string       `json:"title"`
	Status int          `json:"status"`
	Code   tidings.Code `json:"code"`
	Detail string       `json:"detail,omitempty"`
}

// Handler calls request on behalf of host for every POST. The header Idempotency-Key becomes the call's key: see [tidings.Once].
func Handler[Q, R any](host tidings.Host, request *tidings.Request[Q, R], cfg Config) http.Handler {
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, 1<<20)
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, err := serve(w, r, cfg, host, request)
		if err != nil {
			refuse(w, r, cfg, err)
			return
		}
		write(w, http.StatusOK, "application/json", answer)
	})
}

// serve calls the request, and returns the answer as JSON.
func serve[Q, R any](w http.ResponseWriter, r *http.Request, cfg Config, host tidings.Host, request *tidings.Request[Q, R]) ([]byte, error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, &refusal{http.StatusMethodNotAllowed, "want POST, not " + r.Method}
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, &refusal{http.StatusUnsupportedMediaType, "want the header Content-Type: application/json"}
	}
	options, err := callOptions(r.Header.Values("Idempotency-Key"))
	if err != nil {
		return nil, err
	}
	var question Q
	if err = decode(http.MaxBytesReader(w, r.Body, cfg.MaxBytes), cfg, &question); err != nil {
		return nil, err
	}
	answer, err := request.Call(r.Context(), host, question, options...)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(answer)
	if err != nil {
		return nil, fmt.Errorf("httpapi: encode the answer: %w", err)
	}
	return data, nil
}

// callOptions has the call's key. The header's draft standard puts it in quotes; most clients don't.
func callOptions(keys []string) ([]tidings.CallOption, error) {
	switch len(keys) {
	case 0:
		return nil, nil
	case 1:
		key := keys[0]
		if len(key) > 1 && strings.HasPrefix(key, `"`) && strings.HasSuffix(key, `"`) {
			key = key[1 : len(key)-1]
		}
		if key == "" {
			return nil, invalid("the header Idempotency-Key is empty")
		}
		return []tidings.CallOption{tidings.Once(key)}, nil
	default:
		return nil, invalid("the header Idempotency-Key is there more than once")
	}
}

// decode reads one JSON value and nothing after it.
func decode(body io.Reader, cfg Config, question any) error {
	d := json.NewDecoder(body)
	if !cfg.UnknownFields {
		d.DisallowUnknownFields()
	}
	err := d.Decode(question)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		err = cmp.Or(asTooLarge(err), errors.New("there is something after the JSON value"))
	}
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", large.Limit)}
	}
	if errors.Is(err, io.EOF) {
		return invalid("the body is empty: want JSON")
	}
	return invalid("the body can't be read: " + strings.TrimPrefix(err.Error(), "json: "))
}

// asTooLarge is err if it says that the body is too large.
func asTooLarge(err error) error {
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return large
	}
	return nil
}

// refusal is what HTTP itself is to blame for.
type refusal struct {
	status int
	detail string
}

func (r *refusal) Error() string { return r.detail }

// Unwrap is the code: whoever sent that must change it.
func (r *refusal) Unwrap() error { return tidings.CodeInvalid }

func invalid(detail string) error { return &refusal{http.StatusBadRequest, detail} }

// refuse tells the client what it may know, and the log the rest.
func refuse(w http.ResponseWriter, r *http.Request, cfg Config, err error) {
	p := Problem{Code: tidings.CodeOf(err), Detail: err.Error()}
	p.Status = statusOf(p.Code, cfg.Status)
	if refused, ok := errors.AsType[*refusal](err); ok {
		p.Status = refused.status
	}
	if called, ok := errors.AsType[*tidings.Error](err); ok {
		p.Detail = called.Detail
	}
	if p.Status >= http.StatusInternalServerError {
		cfg.Log.LogAttrs(r.Context(), slog.LevelError, "request failed", slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Any("error", err))
		p.Detail = ""
	}
	WriteProblem(w, p)
}

// WriteProblem answers with a problem, where no request is called: at a path that there is not, say. Status is required; an empty Title is the status's name.
func WriteProblem(w http.ResponseWriter, p Problem) {
	p.Title = cmp.Or(p.Title, http.StatusText(p.Status))
	data, err := json.Marshal(p)
	if err != nil { // a string and a number always can
		data = nil
	}
	write(w, p.Status, "application/problem+json", data)
}

func statusOf(code tidings.Code, own map[tidings.Code]int) int {
	if status := own[code]; status != 0 {
		return status
	}
	switch code {
	case tidings.CodeInvalid:
		return http.StatusBadRequest
	case tidings.CodeDenied:
		return http.StatusForbidden
	case tidings.CodeNotFound:
		return http.StatusNotFound
	case tidings.CodeConflict:
		return http.StatusConflict
	case tidings.CodeInternal:
		return http.StatusInternalServerError
	case tidings.CodeUnavailable, tidings.CodeUnserved:
		return http.StatusServiceUnavailable
	case tidings.CodeTimeout:
		return http.StatusGatewayTimeout
	default:
		return http.StatusUnprocessableEntity
	}
}

func write(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) //nolint:gosec // G705: it is JSON and says so; an error means that the client has left
}
