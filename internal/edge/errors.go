package edge

import (
	"errors"
	"net/http"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"
)

// What a call may fail with, for errors.Is.
var (
	// ErrStock is returned by what a stock Toxiproxy can't do.
	ErrStock = errors.New("a stock toxiproxy has neither counters nor a lease: use chaos proxy")
	// ErrNoAnswer: the server did not answer in the time it had, CallTimeout at most.
	ErrNoAnswer = errors.New("no answer")
	// ErrNotFound: there is no such proxy or toxic.
	ErrNotFound = errors.New("not found")
	// ErrExists: the name is taken.
	ErrExists = errors.New("exists already")
	// ErrRefused: the server looked at the request and said no (any 4xx, so also the
	// two above). Another try gets the same answer.
	ErrRefused = errors.New("refused")
)

// answered is an error that the server sent. It reads as the official client says it.
type answered struct {
	error
	status int
}

func (e *answered) Unwrap() error { return e.error }

// Is maps the status to the errors above.
func (e *answered) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.status == http.StatusNotFound
	case ErrExists:
		return e.status == http.StatusConflict
	case ErrRefused:
		return e.status >= 400 && e.status < 500
	}
	return false
}

// typed makes an error of the official client one of ours.
func typed(err error) error {
	var e *toxiproxy.ApiError
	if errors.As(err, &e) {
		return &answered{err, e.Status}
	}
	return err
}

func ignoreGone(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
