package proxy

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
)

// maxHead is the longest head of a message that is understood.
const maxHead = 64 << 10

// head is what the fields of a message say about where it ends and what follows. What two readers could
// understand in two ways is not understood at all.
type head struct {
	length         int64 // Content-Length, or -1
	chunked, coded bool  // coded: by a last transfer coding that is not chunked
	close, keep    bool  // Connection
	upgrade        bool
	expect         bool
}

// request is the head of a request.
type request struct {
	head
	method, path []byte // path: without query
	old          bool   // HTTP/1.0
}

// eachField calls visit for every field of a head. False: a line is malformed, or visit said so.
func eachField(raw []byte, visit func(name, value []byte) bool) bool {
	_, rest, _ := bytes.Cut(raw, []byte("\n"))
	for len(rest) > 0 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			return len(rest) == 0
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !token(name) || bytes.IndexByte(line, '\r') >= 0 || !visit(name, bytes.Trim(value, " \t")) {
			return false
		}
	}
	return false
}

func readHead(raw []byte) (h head, ok bool) {
	h.length = -1
	ok = eachField(raw, func(name, value []byte) bool {
		switch {
		case is(name, "Content-Length"):
			n, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil || value[0] < '0' || (h.length >= 0 && n != h.length) {
				return false
			}
			h.length = n
		case is(name, "Transfer-Encoding"):
			if h.chunked || h.coded {
				return false
			}
			h.chunked = is(value, "chunked")
			h.coded = !h.chunked
		case is(name, "Connection"):
			h.close = h.close || hasWord(value, "close")
			h.keep = h.keep || hasWord(value, "keep-alive")
		case is(name, "Upgrade"):
			h.upgrade = true
		case is(name, "Expect"):
			h.expect = true
		}
		return true
	})
	return h, ok && !h.coded && !(h.chunked && h.length >= 0)
}

// readRequest reads the head of a request. False: it is not understood.
func readRequest(raw []byte) (r request, ok bool) {
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	if r, ok = readRequestLine(line); !ok {
		return r, false
	}
	old := r.old
	method, path := r.method, r.path
	r.head, ok = readHead(raw)
	r.method, r.path, r.old = method, path, old
	return r, ok && !(r.old && r.chunked)
}

func readRequestLine(line []byte) (r request, ok bool) {
	parts := bytes.Split(bytes.TrimSuffix(line, []byte("\r")), []byte(" "))
	if len(parts) != 3 || !token(parts[0]) || len(parts[1]) == 0 {
		return r, false
	}
	r.method, r.path = parts[0], parts[1]
	if i := bytes.Index(r.path, []byte("://")); i > 0 && r.path[0] != '/' { // as proxies are asked
		r.path = r.path[i+3:]
		r.path = r.path[max(0, bytes.IndexByte(r.path, '/')):]
	}
	r.path, _, _ = bytes.Cut(r.path, []byte("?"))
	r.old = string(parts[2]) == "HTTP/1.0"
	return r, r.old || string(parts[2]) == "HTTP/1.1"
}

// readStatus reads the head of an answer. False: it is not understood.
func readStatus(raw []byte) (code int, h head, ok bool) {
	if len(raw) < 12 || !statusBegins(raw) || raw[8] != ' ' {
		return 0, h, false
	}
	code, err := strconv.Atoi(string(raw[9:12]))
	if err != nil || code < 100 || code > 999 {
		return 0, h, false
	}
	h, ok = readHead(raw)
	return code, h, ok
}

// requestBegins tells whether b may be the beginning of a request. Without a whole line only the usual
// methods are, so that a protocol that waits for an answer to "PING" gets it.
func requestBegins(b []byte) bool {
	if line, _, whole := bytes.Cut(b, []byte("\n")); whole {
		_, ok := readRequestLine(line)
		return ok
	}
	for _, m := range []string{"GET ", "HEAD ", "POST ", "PUT ", "PATCH ", "DELETE ", "OPTIONS ", "TRACE ", "CONNECT "} {
		n := min(len(b), len(m))
		if string(b[:n]) == m[:n] {
			return true
		}
	}
	return false
}

// statusBegins tells whether b may be the beginning of an answer.
func statusBegins(b []byte) bool {
	n := min(len(b), 7)
	return string(b[:n]) == "HTTP/1."[:n] && (len(b) < 8 || b[7] == '0' || b[7] == '1')
}

// edit makes a copy of a head with fields set or removed (nil), the others as they came.
func edit(raw []byte, fields map[string]*string) []byte {
	out := make([]byte, 0, len(raw)+256)
	line, rest, _ := bytes.Cut(raw, []byte("\n"))
	out = append(append(out, line...), '\n')
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		name, _, _ := bytes.Cut(line, []byte(":"))
		if len(rest) > 0 && named(fields, name) {
			continue
		}
		if len(rest) == 0 {
			for _, f := range sortedFields(fields) {
				if v := fields[f]; v != nil {
					out = append(out, f+": "+*v+"\r\n"...)
				}
			}
		}
		out = append(append(out, line...), '\n')
	}
	return out
}

func named(fields map[string]*string, name []byte) bool {
	for f := range fields {
		if is(name, f) {
			return true
		}
	}
	return false
}

// render is the answer of a toxic with a status. A connection that ends after it says so.
func (h *httpSettings) render(r *request, last bool) []byte {
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 " + strconv.FormatInt(h.status, 10) + " " + http.StatusText(int(h.status)) + "\r\n")
	body := ""
	if h.body != nil {
		body = *h.body
		if !hasField(h.headers, "Content-Type") {
			b.WriteString("Content-Type: " + http.DetectContentType([]byte(body)) + "\r\n")
		}
	}
	if h.status != http.StatusNoContent && h.status != http.StatusNotModified {
		b.WriteString("Content-Length: " + strconv.Itoa(len(body)) + "\r\n")
	}
	for _, f := range sortedFields(h.headers) {
		if v := h.headers[f]; v != nil {
			b.WriteString(f + ": " + *v + "\r\n")
		}
	}
	if last {
		b.WriteString("Connection: close\r\n")
	}
	b.WriteString("\r\n")
	if string(r.method) != http.MethodHead {
		b.WriteString(body)
	}
	return b.Bytes()
}

// replaced are the changes of a head whose body is replaced by one of n bytes: what told of the old one goes.
func (h *httpSettings) replaced() map[string]*string {
	length := strconv.Itoa(len(*h.body))
	fields := map[string]*string{"Content-Length": &length}
	for _, f := range []string{"Transfer-Encoding", "Content-Encoding", "Content-Range", "Content-MD5", "Digest", "Content-Digest", "Trailer", "ETag"} {
		fields[f] = nil
	}
	for f, v := range h.headers {
		for old := range fields {
			if strings.EqualFold(f, old) {
				delete(fields, old)
			}
		}
		fields[f] = v
	}
	return fields
}
