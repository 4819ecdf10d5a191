package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// apiError is an error with the status and the body that stock would send.
type apiError struct {
	Message string `json:"error"`
	Status  int    `json:"status"`
}

func (e *apiError) Error() string { return e.Message }

func errProxyNotFound() error { return &apiError{"proxy not found", http.StatusNotFound} }
func errToxicNotFound() error { return &apiError{"toxic not found", http.StatusNotFound} }

func badRequest(format string, args ...any) error {
	return &apiError{"bad request body: " + fmt.Sprintf(format, args...), http.StatusBadRequest}
}

// proxyInput is the body of creating and updating a proxy. Toxics and Logger are in
// what stock answers, so that scripts send them back; both are ignored, as in stock.
type proxyInput struct {
	Name     string          `json:"name"`
	Listen   string          `json:"listen"`
	Upstream string          `json:"upstream"`
	Enabled  *bool           `json:"enabled"`
	Toxics   json.RawMessage `json:"toxics"`
	Logger   json.RawMessage `json:"Logger"`
}

// toxicInput is the body of creating and updating a toxic.
type toxicInput struct {
	Name       string                     `json:"name"`
	Type       string                     `json:"type"`
	Stream     *string                    `json:"stream"`
	Toxicity   *float32                   `json:"toxicity"`
	Attributes map[string]json.RawMessage `json:"attributes"`
}

// proxyView is a proxy as stock shows it.
type proxyView struct {
	Name     string      `json:"name"`
	Listen   string      `json:"listen"`
	Upstream string      `json:"upstream"`
	Enabled  bool        `json:"enabled"`
	Toxics   []toxicView `json:"toxics"`
}

// toxicView is a toxic as stock shows it.
type toxicView struct {
	Attributes json.RawMessage `json:"attributes"`
	Name       string          `json:"name"`
	Type       string          `json:"type"`
	Stream     string          `json:"stream"`
	Toxicity   float32         `json:"toxicity"`
}

// decode reads exactly one JSON value with no unknown fields.
func decode(r io.Reader, into any, fields ...string) error {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return decodeError(err, fields)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return badRequest("there is more than one JSON value")
	}
	return nil
}

func decodeError(err error, fields []string) error {
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		return &apiError{fmt.Sprintf("bad request body: longer than %d bytes", tooLong.Limit), http.StatusRequestEntityTooLarge}
	}
	if name, found := strings.CutPrefix(err.Error(), "json: unknown field "); found {
		name = strings.Trim(name, `"`)
		return badRequest("unknown field %q%s; valid: %s", name, meant(name, fields), strings.Join(fields, ", "))
	}
	return badRequest("%v", err)
}

func decodeProxy(r io.Reader, into *proxyInput) error {
	return decode(r, into, "name", "listen", "upstream", "enabled")
}

func decodeProxies(r io.Reader, into *[]proxyInput) error {
	return decode(r, into, "name", "listen", "upstream", "enabled")
}

func decodeToxic(r io.Reader, into *toxicInput) error {
	return decode(r, into, "name", "type", "stream", "toxicity", "attributes")
}

// complete checks the required fields and fills in the defaults of a new proxy.
func (in *proxyInput) complete(place string) error {
	missing := func(field string) error {
		return &apiError{"missing required field: " + field + place, http.StatusBadRequest}
	}
	if in.Name == "" {
		return missing("name")
	}
	if in.Upstream == "" {
		return missing("upstream")
	}
	if len(in.Name) > maxNameLength {
		return badRequest("name is longer than %d bytes", maxNameLength)
	}
	if in.Listen == "" {
		in.Listen = "127.0.0.1:0" // stock listens on every interface
	}
	if in.Enabled == nil {
		enabled := true
		in.Enabled = &enabled
	}
	return nil
}
