package platform

import (
	"encoding/json"
	"errors"
	"net/http"
)

// problem is an error as RFC 9457 wants it (application/problem+json).
type problem struct {
	Title  string  `json:"title"`
	Status int     `json:"status"`
	Detail string  `json:"detail,omitempty"`
	Errors []Field `json:"errors,omitempty"`
}

// problemOf says what err means to who made the request. What is our own fault is not told in detail.
func problemOf(err error) problem {
	var invalid *Invalid
	var tooLarge *http.MaxBytesError
	status, p := http.StatusInternalServerError, problem{}
	switch {
	case errors.As(err, &invalid):
		status, p.Detail, p.Errors = http.StatusUnprocessableEntity, "see errors", invalid.Fields
	case errors.As(err, &tooLarge):
		status, p.Detail = http.StatusRequestEntityTooLarge, err.Error()
	case errors.Is(err, errBody):
		status, p.Detail = http.StatusBadRequest, err.Error()
	case errors.Is(err, errContentType):
		status, p.Detail = http.StatusUnsupportedMediaType, err.Error()
	case errors.Is(err, ErrNotFound):
		status, p.Detail = http.StatusNotFound, ErrNotFound.Error()
	case errors.Is(err, ErrRefunded):
		status, p.Detail = http.StatusConflict, ErrRefunded.Error()
	}
	p.Status, p.Title = status, http.StatusText(status)
	return p
}

func writeProblem(w http.ResponseWriter, p problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // an error means that the client has left
}
