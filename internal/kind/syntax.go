package kind

// Syntax is how a value is written, for the schema, the documents and messages. Whatever its reader
// takes matches Pattern; the reader may still refuse what matches, such as a rate that is absurd.
type Syntax struct {
	Pattern string // of the whole text; understood by Go and by ECMAScript
	Doc     string // what to write, with an example
	Number  bool   // a bare number will do too
	Example string // a value
}

// Written is implemented by types that are read from a text with a syntax of its own.
type Written interface{ Syntax() Syntax }

// decimal is a number without sign and exponent.
const decimal = `([0-9]+(\.[0-9]*)?|\.[0-9]+)`

// DurationSyntax is what ParseDuration reads.
func DurationSyntax() Syntax {
	return Syntax{Pattern: `^(` + decimal + `(ns|us|µs|μs|ms|s|m|h))+$`, Doc: "a time with its unit, such as 250ms, 10s or 1m30s", Example: "10s"}
}

// Syntax implements Written.
func (Percent) Syntax() Syntax {
	return Syntax{Pattern: `^\s*0*(100(\.0*)?|[0-9]{1,2}(\.[0-9]*)?|\.[0-9]+)\s*%\s*$`, Doc: "a share with its sign, such as 99.9%", Example: "99%"}
}

// Syntax implements Written.
func (Rate) Syntax() Syntax {
	return Syntax{Pattern: `^\s*([0-9]*[1-9][0-9]*(\.[0-9]*)?|[0-9]*\.[0-9]*[1-9][0-9]*)\s*/\s*[sm]\s*$`, Doc: "a number a second or a minute, such as 50/s or 300/m", Example: "50/s"}
}

// bytes is a size without its frame.
const bytes = decimal + `\s*([KMG]i?)?B`

// Syntax implements Written.
func (Size) Syntax() Syntax {
	return Syntax{Pattern: `^\s*` + bytes + `\s*$`, Doc: "a size with its unit, such as 512B, 64KB (1000 B) or 4MiB (1024 KiB)", Example: "64KB"}
}

// Syntax implements Written.
func (Throughput) Syntax() Syntax {
	return Syntax{Pattern: `^\s*` + bytes + `\s*/s\s*$`, Doc: "a size a second, such as 64KB/s", Example: "64KB/s"}
}
