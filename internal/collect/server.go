// Package collect receives the spans of a target: `chaos collect`, a process of its own on the target's
// private network, where no fault reaches it, and the client that reads them back.
//
//	nodes ── POST /v1/traces (OTLP/HTTP: protobuf or JSON, gzip) ──▶ bounded buffer ◀── GET /spans ── harness
//
// What it can't keep it refuses, counts and says to the sender; it never makes a sender wait.
package collect

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Limits of the server.
const (
	maxExport  = 8 << 20 // bytes of one export, unpacked
	maxAnswer  = 8 << 20 // bytes of spans in one answer to a reader
	exportsMax = 2       // exports that are being read at the same time; the others wait
	readWithin = 10 * time.Second
	endWithin  = 2 * time.Second
	complaints = 20 // bad exports that are told one by one in the log; all are counted
)

// What an export may be written in.
const (
	typeProto = "application/x-protobuf"
	typeJSON  = "application/json"
)

// Headers of an answer to a reader.
const (
	headerNext   = "Chaos-Next"   // number of the batch to ask for next
	headerCounts = "Chaos-Counts" // Counts as JSON
	headerLife   = "Chaos-Life"   // differs after a restart: numbers and counts began anew
)

// Options are what a collector must know.
type Options struct {
	Token  string // whoever reads must show it; empty: nobody can
	Room   int    // bytes that are kept for a reader; 0 is 96 MiB
	Logger *slog.Logger
}

// Server receives spans and gives them to one reader. Make it with New.
type Server struct {
	token   string
	life    string
	buffer  *buffer
	log     *slog.Logger
	exports chan struct{} // a place for each export that is being read
}

// New returns a collector that holds nothing yet.
func New(o Options) *Server {
	if o.Room <= 0 {
		o.Room = bufferBytes
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	var life [8]byte
	_, _ = rand.Read(life[:]) // documented to never return an error
	return &Server{token: o.Token, life: hex.EncodeToString(life[:]), buffer: &buffer{room: o.Room}, log: o.Logger, exports: make(chan struct{}, exportsMax)}
}

// Handler are the server's routes.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, `{"collector":"chaos"}`) })
	mux.HandleFunc("POST /v1/traces", s.export)
	mux.HandleFunc("GET /spans", s.guarded(s.read))
	mux.HandleFunc("DELETE /spans", s.guarded(s.forget))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "" { // a page in somebody's browser has no business here
			http.Error(w, "requests of web pages are refused", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// Serve answers on ln until ctx ends.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: readWithin, ReadTimeout: 3 * readWithin, IdleTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() {
		<-ctx.Done()
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
		defer cancel()
		ended <- errors.Join(server.Shutdown(within), server.Close())
	}()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	if err := <-ended; err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("end: %w", err)
	}
	return nil
}

// export takes one export request. Bad ones are answered with 400, which exporters do not send again.
func (s *Server) export(w http.ResponseWriter, r *http.Request) {
	select {
	case s.exports <- struct{}{}:
		defer func() { <-s.exports }()
	case <-r.Context().Done():
		return
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	req := &collectorpb.ExportTraceServiceRequest{}
	body, err := unpacked(r)
	if err == nil {
		switch kind {
		case typeProto:
			err = proto.Unmarshal(body, req)
		case typeJSON:
			err = decodeJSON(body, req)
		default:
			err = fmt.Errorf("content type %q: want %s or %s", kind, typeProto, typeJSON)
		}
	}
	if err != nil {
		if s.buffer.bad() <= complaints {
			s.log.Warn("an export could not be read", "from", r.RemoteAddr, "err", err)
		}
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	spans, invalid := convert(req.GetResourceSpans())
	refused := s.buffer.put(spans, invalid)
	answer := &collectorpb.ExportTraceServiceResponse{}
	if n := refused + invalid; n > 0 {
		answer.PartialSuccess = &collectorpb.ExportTracePartialSuccess{
			RejectedSpans: int64(n), ErrorMessage: fmt.Sprintf("no room for %d spans, %d without ids", refused, invalid),
		}
	}
	s.reply(w, kind, answer)
}

func (s *Server) reply(w http.ResponseWriter, kind string, answer proto.Message) {
	encode := proto.Marshal
	if kind == typeJSON {
		encode = protojson.Marshal
	}
	body, err := encode(answer)
	if err != nil { // a message of two plain fields can't fail to encode
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(body) // a sender that does not listen misses nothing
}

// unpacked reads a body, gzip or plain, within the limits.
func unpacked(r *http.Request) ([]byte, error) {
	var in io.Reader = r.Body
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
		in = z
	default:
		return nil, fmt.Errorf("content encoding %q: want gzip or none", encoding)
	}
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(in, maxExport+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read: %w", err)
	case n > maxExport:
		return nil, fmt.Errorf("larger than %d bytes", maxExport)
	}
	return b.Bytes(), nil
}

// guarded lets in who shows the token.
func (s *Server) guarded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || s.token == "" || subtle.ConstantTimeCompare([]byte(token), []byte(s.token)) != 1 {
			http.Error(w, "spans are for the run that the target belongs to", http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

// read answers the batches from number after on, each behind its length; those before it are freed.
func (s *Server) read(w http.ResponseWriter, r *http.Request) {
	after, err := strconv.ParseUint(r.URL.Query().Get("after"), 10, 64)
	if err != nil {
		http.Error(w, "after: want the number of a batch", http.StatusBadRequest)
		return
	}
	if r.URL.Query().Get("life") != s.life {
		after = 0
	}
	batches, next, counts := s.buffer.after(after, maxAnswer)
	s.told(w, next, counts)
	var head [4]byte
	for _, b := range batches {
		binary.LittleEndian.PutUint32(head[:], uint32(len(b)))
		if _, err := w.Write(head[:]); err != nil {
			return // it asks again: nothing was freed
		}
		if _, err := w.Write(b); err != nil {
			return
		}
	}
}

// forget frees all that is held: a run begins.
func (s *Server) forget(w http.ResponseWriter, _ *http.Request) {
	next, counts := s.buffer.forget()
	s.told(w, next, counts)
}

func (s *Server) told(w http.ResponseWriter, next uint64, counts Counts) {
	text, err := json.Marshal(counts)
	if err != nil { // five numbers can't fail to encode
		text = []byte("{}")
	}
	w.Header().Set(headerNext, strconv.FormatUint(next, 10))
	w.Header().Set(headerCounts, string(text))
	w.Header().Set(headerLife, s.life)
	w.Header().Set("Content-Type", "application/octet-stream")
}
