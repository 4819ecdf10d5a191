package collect

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"
)

func TestMainServes(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- Main(ctx, []string{"--host", "127.0.0.1", "--port", "0"}, func(string) string { return "secret" }, in, io.Discard)
	}()
	line := make([]byte, 200)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	addr, _, _ := strings.Cut(strings.TrimPrefix(string(line[:n]), Banner), " ")
	find := func(context.Context) (string, error) { return addr, nil }
	if _, err := Begin(t.Context(), find, "secret"); err != nil {
		t.Error(err)
	}
	cancel()
	select {
	case code := <-ended:
		if code != exitOK {
			t.Errorf("exit %d", code)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it does not end")
	}
}

func TestMainRefuses(t *testing.T) {
	for _, args := range [][]string{{"--prot", "1"}, {"x"}, {"--room", "0"}} {
		var said bytes.Buffer
		if code := Main(t.Context(), args, func(string) string { return "" }, io.Discard, &said); code != exitUsage || said.Len() == 0 {
			t.Errorf("%v: exit %d, said %q", args, code, said.String())
		}
	}
	if code := Main(t.Context(), []string{"--host", "256.0.0.1"}, func(string) string { return "" }, io.Discard, io.Discard); code != exitError {
		t.Errorf("an impossible address: exit %d", code)
	}
}
