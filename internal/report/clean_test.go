package report

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestRedaction(t *testing.T) {
	r := newRedactor()
	for in, want := range map[string]string{
		"postgres://app:hunter2@db:5432/x":           "postgres://***@db:5432/x",
		"see https://user@host/ and redis://:pw@r:1": "see https://***@host/ and redis://***@r:1",
		"POSTGRES_PASSWORD=hunter2 PORT=1":           "POSTGRES_PASSWORD=*** PORT=1",
		`{"adminToken": "hunter2", "n": 1}`:          `{"adminToken": "***", "n": 1}`,
		"Authorization: Bearer hunter2":              "Authorization: ***",
		"run --api-key hunter2 --seed 1":             "run --api-key *** --seed 1",
		"run --token=hunter2":                        "run --token=***",
		"dsn='user=x pw=y' next":                     "dsn='***' next",
		"the token bucket admits 5":                  "the token bucket admits 5",
		"https://example.org/a@b":                    "https://example.org/a@b",
		"sent bearer abcdefghijkl now":               "sent bearer *** now",
	} {
		if got := r.text(in); got != want {
			t.Errorf("%q\n got %q\nwant %q", in, got, want)
		}
	}
}

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                 "plain",
		"\x1b[31mred":           `\u001b[31mred`,
		"a\u202eb\u2066c\u200b": `a\u202eb\u2066c\u200b`,
		"line\none\r\n":         "line\none\n",
		"\xff\xfe":              "\ufffd\ufffd",
		"שלום äö":               "שלום äö",
	} {
		if got := visible(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestLongTextIsCut(t *testing.T) {
	got := newRedactor().text(strings.Repeat("ä", maxText))
	if len(got) > maxText+40 || !utf8.ValidString(got) || !strings.HasSuffix(got, "bytes more)") {
		t.Errorf("%d bytes: …%s", len(got), got[len(got)-30:])
	}
}

func TestPairs(t *testing.T) {
	r := newRedactor()
	got := r.pairs(json.RawMessage(`{"b":[1,2],"a":{"password":{"deep":"x"},"n":1e3},"c":[{"token":"x"}]}`))
	want := []Pair{{"a.n", "1e3"}, {"a.password", Masked}, {"b", "1, 2"}, {"c.0.token", Masked}}
	if len(got) != len(want) {
		t.Fatalf("got %v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("pair %d: got %v, want %v", i, got[i], want[i])
		}
	}
	if got := r.pairs(json.RawMessage(`{"broken`)); len(got) != 1 || got[0].Value != `{"broken` {
		t.Errorf("broken JSON: %v", got)
	}
}

// People read times with their units; what is no number of nanoseconds stays as it is.
func TestPairsInWords(t *testing.T) {
	for in, want := range map[Pair]Pair{
		{"down_ns", "9920415138"}:           {"down", "9.9\u202fs"},
		{"toxic.added_p50_ns", "400"}:       {"toxic.added_p50", "400\u202fns"},
		{"skew_ns", "-2000000"}:             {"skew", "−2.0\u202fms"},
		{"waits_ns", "1000000, 3000000000"}: {"waits", "1.0\u202fms, 3.0\u202fs"},
		{"down_ns", "***"}:                  {"down_ns", "***"},
		{"down_ns", "1e3"}:                  {"down_ns", "1e3"},
		{"down_ns", ""}:                     {"down_ns", ""},
		{"exit_code", "137"}:                {"exit_code", "137"},
		{"columns", "3"}:                    {"columns", "3"},
	} {
		if got := in.Words(); got != want {
			t.Errorf("%v: got %v, want %v", in, got, want)
		}
	}
}

func TestWords(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Count(-1234567), "-1,234,567"}, {Count(999), "999"},
		{Percent(0.999), "99.9\u202f%"}, {Percent(0.99999), ">\u202f99.99\u202f%"}, {Percent(0), "0\u202f%"}, {Percent(1), "100\u202f%"}, {Percent(0.00001), "<\u202f0.01\u202f%"}, {Percent(1.2), "120\u202f%"},
		{Money(123456, "EUR"), "1,234.56 EUR"}, {Money(-5, ""), "-0.05"}, {Money(-1<<63, ""), "-92,233,720,368,547,758.08"},
		{Time(0), "0\u202fs"}, {Time(412), "412\u202fns"}, {Time(38_400), "38\u202fµs"}, {Time(-412_000), "−0.4\u202fms"}, {Time(99_999), "100\u202fµs"}, {Time(9_920_415_138), "9.9\u202fs"},
		{Times(14.4), "14.4×"}, {Times(120), "120×"}, {Number(3.5), "3.5"}, {Ratio(1, 0), "–"},
		{Spark([]float64{-1, 0, 1, 8}, 8), " ·▁█"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
