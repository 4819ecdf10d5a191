package journal

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
)

// A frame file is a valid .zst file: our headers are zstd's skippable frames, so `zstd -dc` prints
// the contents and this reader can tell a torn frame from a whole one.
//
//	┌─────────────┬──────────────┬────────────┬──────────────┬────────────┬ ─ ─
//	│ file header │ frame header │ zstd frame │ frame header │ zstd frame │
//	└─────────────┴──────────────┴────────────┴──────────────┴────────────┴ ─ ─
//	     20 B           20 B       payload          20 B        payload
const (
	headerLen    = 20
	fileMagic    = 0x184D2A5C // skippable frame of 12 B: "chaosjnl", version, content
	frameMagic   = 0x184D2A5D // skippable frame of 12 B: payload length, raw length, CRC-32C
	headerBody   = headerLen - 8
	fileName     = "chaosjnl"
	fileVersion  = 1
	maxRaw       = 2 << 20 // largest uncompressed frame that is read
	maxPayload   = maxRaw + maxRaw/8
	maxMessages  = 20 // kinds of damage told one by one; the rest is counted
	frameTarget  = 1 << 20
	contentSmpl  = 1
	contentRdngs = 2
	contentSpans = 3
)

var errVersion = errors.New("journal: written by another version of the format")

// checksum covers the two lengths and the payload.
func checksum(lengths, payload []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Update(0, table, lengths), table, payload)
}

// framer packs and writes frames.
type framer struct {
	w   io.Writer
	enc *zstd.Encoder
	buf []byte
}

// newFramer writes the file header.
func newFramer(w io.Writer, content uint16) (*framer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(frameTarget), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("making a zstd encoder: %w", err)
	}
	head := le.AppendUint32(nil, fileMagic)
	head = le.AppendUint32(head, headerBody)
	head = append(head, fileName...)
	head = le.AppendUint16(head, fileVersion)
	head = le.AppendUint16(head, content)
	if _, err := w.Write(head); err != nil {
		return nil, fmt.Errorf("writing the file header: %w", err)
	}
	return &framer{w: w, enc: enc}, nil
}

// write packs raw into one frame and hands it to the file in a single call.
func (f *framer) write(raw []byte) error {
	f.buf = append(f.buf[:0], make([]byte, headerLen)...)
	f.buf = f.enc.EncodeAll(raw, f.buf)
	payload := f.buf[headerLen:]
	le.PutUint32(f.buf, frameMagic)
	le.PutUint32(f.buf[4:], headerBody)
	le.PutUint32(f.buf[8:], uint32(len(payload)))
	le.PutUint32(f.buf[12:], uint32(len(raw)))
	le.PutUint32(f.buf[16:], checksum(f.buf[8:16], payload))
	_, err := f.w.Write(f.buf)
	return err
}

func (f *framer) close() error { return f.enc.Close() }

// damage collects what could not be read, bounded.
type damage struct {
	list []string
	more int
}

func (d *damage) add(format string, args ...any) {
	if len(d.list) < maxMessages {
		d.list = append(d.list, fmt.Sprintf(format, args...))
		return
	}
	d.more++
}

// all returns the messages, the last of which counts those left out.
func (d *damage) all() []string {
	if d.more == 0 {
		return d.list
	}
	return append(d.list, fmt.Sprintf("and %d more", d.more))
}

// readFrames gives each good frame of r, which has size bytes, to use; raw is only valid during the
// call. A frame that is torn or does not match its checksum is dropped and said; those before it,
// and those after a frame whose header is whole, are not lost. An error means another version.
func readFrames(r io.Reader, size int64, name string, content uint16, d *damage, use func(raw []byte)) error {
	var head [headerLen]byte
	if n, err := io.ReadFull(r, head[:]); err != nil {
		d.add("%s: dropped %d B of a torn file header", name, n)
		return nil
	}
	if le.Uint32(head[:]) != fileMagic || le.Uint32(head[4:]) != headerBody || !bytes.Equal(head[8:16], []byte(fileName)) {
		d.add("%s: dropped %d B that are no journal", name, size)
		return nil
	}
	if v, c := le.Uint16(head[16:]), le.Uint16(head[18:]); v != fileVersion || c != content {
		return fmt.Errorf("%w: %s has version %d, content %d", errVersion, name, v, c)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRaw),
		zstd.WithDecoderMaxWindow(maxRaw))
	if err != nil {
		return fmt.Errorf("making a zstd decoder: %w", err)
	}
	defer dec.Close()
	var payload, raw []byte
	for at := int64(headerLen); at < size; {
		n, err := io.ReadFull(r, head[:])
		if err != nil {
			d.add("%s: dropped %d B of a torn frame at offset %d", name, n, at)
			return nil
		}
		length, rawLen := int64(le.Uint32(head[8:])), int64(le.Uint32(head[12:]))
		if le.Uint32(head[:]) != frameMagic || le.Uint32(head[4:]) != headerBody || length > maxPayload || rawLen > maxRaw {
			d.add("%s: dropped %d B that are no frame at offset %d", name, size-at, at)
			return nil
		}
		if left := size - at - headerLen; length > left {
			d.add("%s: dropped %d B of a torn frame at offset %d", name, left+headerLen, at)
			return nil
		}
		payload = resize(payload, int(length))
		if n, err := io.ReadFull(r, payload); err != nil {
			d.add("%s: dropped %d B of a torn frame at offset %d", name, n+headerLen, at)
			return nil
		}
		if raw, err = unpack(dec, head[:], payload, raw); err != nil {
			d.add("%s: dropped %d B of a damaged frame at offset %d: %v", name, length+headerLen, at, err)
		} else {
			use(raw)
		}
		at += headerLen + length
	}
	return nil
}

// unpack checks and decompresses one payload into buf.
func unpack(dec *zstd.Decoder, head, payload, buf []byte) ([]byte, error) {
	if checksum(head[8:16], payload) != le.Uint32(head[16:]) {
		return buf, errors.New("the checksum does not match")
	}
	raw, err := dec.DecodeAll(payload, buf[:0])
	if err != nil {
		return buf, err
	}
	if len(raw) != int(le.Uint32(head[12:])) {
		return raw, errors.New("the length does not match")
	}
	return raw, nil
}

// resize returns b with length n, keeping its memory when that is large enough.
func resize(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}
