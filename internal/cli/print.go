package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// printJSON prints a result on stdout.
func (a *app) printJSON(v any) error {
	out := json.NewEncoder(a.Stdout)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	if err := out.Encode(v); err != nil {
		return harness(fmt.Errorf("writing the result: %w", err))
	}
	return nil
}

// plainJSON is a value as JSON on one line, with < and > as they are: it is read by people.
func plainJSON(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	if err := out.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}
