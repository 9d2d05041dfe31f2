package platform

import (
	_ "embed" // for the description
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
)

// Mistakes in a request's body.
var (
	errBody        = errors.New("the body can't be read")
	errContentType = errors.New("the body must be application/json")
)

// api answers programs, the page's script among them.
type api struct{ platform *Platform }

//go:embed openapi.json
var openAPI []byte

// routes are what the api answers, as openapi.json describes it.
func (a *api) routes() map[string]http.Handler {
	return map[string]http.Handler{
		"POST /bookings":             a.handle(a.book),
		"POST /bookings/{id}/refund": a.handle(a.refund),
		"GET /ops/bookings":          a.handle(a.list),
		"GET /ops/bookings/{id}":     a.handle(a.row),
		"GET /ops/totals":            a.handle(a.totals),
		"GET /ops/events":            a.platform.ops.hub,
		"GET /healthz":               a.handle(a.health),
		"GET /openapi.json":          a.handle(a.describe),
	}
}

// answer is what a handler answers with: a status and a body that becomes JSON.
type answer struct {
	status int
	body   any
}

// handle makes a http.Handler of a function that answers or fails.
func (a *api) handle(fn func(r *http.Request) (answer, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
		result, err := fn(r)
		if err != nil {
			p := problemOf(err)
			if p.Status == http.StatusInternalServerError && r.Context().Err() == nil {
				a.platform.log.LogAttrs(r.Context(), slog.LevelError, "request failed", slog.String("path", r.URL.Path), slog.Any("error", err))
			}
			writeProblem(w, p)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(result.status)
		_ = json.NewEncoder(w).Encode(result.body) // an error means that the client has left
	})
}

func (a *api) book(r *http.Request) (answer, error) {
	var request Request
	if err := decode(r, &request); err != nil {
		return answer{}, err
	}
	booking, err := a.platform.Book(r.Context(), request)
	return answer{http.StatusCreated, booking}, err
}

func (a *api) refund(r *http.Request) (answer, error) {
	id := r.PathValue("id")
	err := a.platform.Refund(r.Context(), id)
	return answer{http.StatusOK, map[string]string{"id": id, "status": "refunded"}}, err
}

func (a *api) list(r *http.Request) (answer, error) {
	limit := 50
	if given := r.URL.Query().Get("limit"); given != "" {
		var err error
		if limit, err = strconv.Atoi(given); err != nil || limit < 1 || limit > 500 {
			return answer{}, &Invalid{[]Field{{"limit", "want 1 to 500"}}}
		}
	}
	rows, err := latestRows(r.Context(), a.platform.db, limit)
	return answer{http.StatusOK, rows}, err
}

func (a *api) row(r *http.Request) (answer, error) {
	row, err := findRow(r.Context(), a.platform.db, r.PathValue("id"))
	return answer{http.StatusOK, row}, err
}

func (a *api) totals(r *http.Request) (answer, error) {
	steps, err := totals(r.Context(), a.platform.db)
	return answer{http.StatusOK, steps}, err
}

// health is fine when the database answers.
func (a *api) health(r *http.Request) (answer, error) {
	err := a.platform.db.PingContext(r.Context())
	return answer{http.StatusOK, map[string]string{"status": "ok"}}, err
}

func (a *api) describe(*http.Request) (answer, error) {
	return answer{http.StatusOK, json.RawMessage(openAPI)}, nil
}

// decode reads a body of exactly one JSON value with no unknown fields.
func decode(r *http.Request, into any) error {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return errContentType
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", errBody, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: there is something after the JSON value", errBody)
	}
	return nil
}
