package spec

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"

	"chaos/internal/kind"
)

var durationType = reflect.TypeFor[time.Duration]()

func isScalar(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	}
	return false
}

// setScalar sets a Go value from one scalar. A text of digits is fine for a string (an environment
// variable); quotes are an error for a number.
func setScalar(rv reflect.Value, text string, quoted bool) error {
	if rv.Type() == durationType {
		d, err := kind.ParseDuration(text)
		if err != nil {
			return err
		}
		rv.SetInt(int64(d))
		return nil
	}
	if t, ok := rv.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return t.UnmarshalText([]byte(text))
	}
	if rv.Kind() == reflect.Pointer {
		rv.Set(reflect.New(rv.Type().Elem()))
		return setScalar(rv.Elem(), text, quoted)
	}
	if rv.Kind() != reflect.String && quoted {
		return fmt.Errorf("must be %s, not the text %q", goNames[rv.Kind()], text)
	}
	switch rv.Kind() {
	case reflect.String:
		rv.SetString(text)
		return nil
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("must be true or false, not %q", text)
		}
		rv.SetBool(text == "true")
		return nil
	case reflect.Float32, reflect.Float64:
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("must be a number, not %q", text)
		}
		rv.SetFloat(v)
		return nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v, err := strconv.ParseUint(text, 10, rv.Type().Bits())
		if err != nil {
			return fmt.Errorf("must be a whole number from 0, not %q", text)
		}
		rv.SetUint(v)
		return nil
	default:
		v, err := strconv.ParseInt(text, 10, rv.Type().Bits())
		if err != nil {
			return fmt.Errorf("must be a whole number, not %q", text)
		}
		rv.SetInt(v)
		return nil
	}
}

var goNames = map[reflect.Kind]string{
	reflect.Bool: "true or false", reflect.Float32: "a number", reflect.Float64: "a number",
	reflect.Int: "a whole number", reflect.Int8: "a whole number", reflect.Int16: "a whole number",
	reflect.Int32: "a whole number", reflect.Int64: "a whole number", reflect.Uint: "a whole number",
	reflect.Uint8: "a whole number", reflect.Uint16: "a whole number", reflect.Uint32: "a whole number",
	reflect.Uint64: "a whole number",
}

// plain is the tree as plain Go values: what is written without quotes and reads as a number or a
// boolean is one.
func (v *value) plain() any {
	switch v.shape {
	case mapping:
		m := make(map[string]any, len(v.pairs))
		for _, p := range v.pairs {
			m[p.key] = p.val.plain()
		}
		return m
	case sequence:
		l := make([]any, len(v.items))
		for i, item := range v.items {
			l[i] = item.plain()
		}
		return l
	case scalar:
		if v.quoted {
			return v.text
		}
		if v.text == "true" || v.text == "false" {
			return v.text == "true"
		}
		if i, err := strconv.ParseInt(v.text, 10, 64); err == nil {
			return i
		}
		if f, err := strconv.ParseFloat(v.text, 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
		return v.text
	}
	return nil
}
