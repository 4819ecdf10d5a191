package report

import (
	"html"
	"strings"
)

// zero is the entity of a zero-width space: it keeps GitHub from making a mention, an issue reference
// or a link out of text that only looks like one, and is not seen.
const zero = "&#8203;"

// EscapeMarkdown makes s plain text in GitHub-flavoured Markdown, also inside a table cell and at the
// start of a line: no markup, HTML, link, mention, issue reference or second line comes of it.
func EscapeMarkdown(s string) string {
	var b strings.Builder
	for i, c := range s {
		follows := i+1 < len(s) && s[i+1] > ' '
		switch c {
		case '|': // an entity, because tables are split at pipes before backslashes are looked at
			b.WriteString("&#124;")
		case '_': // between letters it marks nothing, and names are full of it
			if i == 0 || !follows || !isWord(s[i-1]) || !isWord(s[i+1]) {
				b.WriteByte('\\')
			}
			b.WriteByte('_')
		case '\\', '`', '*', '[', ']', '~', '$':
			b.WriteByte('\\')
			b.WriteRune(c)
		case '<':
			b.WriteString("&lt;")
		case '>':
			b.WriteString("&gt;")
		case '&':
			b.WriteString("&amp;")
		case '#', '@', ':': // issue references, headings; mentions; schemes and :emoji:
			if i == 0 && c == '#' {
				b.WriteByte('\\')
			}
			b.WriteRune(c)
			if follows {
				b.WriteString(zero)
			}
		case '\n', '\t':
			b.WriteByte(' ')
		default:
			b.WriteRune(c)
		}
	}
	out := strings.ReplaceAll(b.String(), "www.", "www"+zero+".") // begins a link without a scheme
	return escapeStart(out)
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// escapeStart keeps "- x", "+ x", "1. x", "1) x" and a rule of "=" at the start of a line from becoming
// a list or a heading.
func escapeStart(s string) string {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	switch {
	case i > 0 && i < len(s) && strings.IndexByte(".)", s[i]) >= 0 && (i+1 == len(s) || s[i+1] == ' '):
		return s[:i] + "\\" + s[i:]
	case i == 0 && s != "" && strings.IndexByte("-+=", s[0]) >= 0:
		return "\\" + s
	}
	return s
}

// EscapeMarkdownHTML makes s plain text inside an HTML block of Markdown, such as <summary>, where
// backslashes would be shown and a blank line would end the block.
func EscapeMarkdownHTML(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return html.EscapeString(strings.NewReplacer("@", "@\u200b", "#", "#\u200b").Replace(s))
}

// CodeMarkdown makes s a code span, also inside a table cell. Text with both pipes and backslashes has
// no safe form as code in a table and becomes plain text.
func CodeMarkdown(s string) string {
	if s == "" {
		return ""
	}
	if strings.Contains(s, "|") && strings.Contains(s, `\`) {
		return EscapeMarkdown(s)
	}
	s = strings.NewReplacer("\n", " ", "\t", " ", "|", `\|`).Replace(s)
	fence := strings.Repeat("`", longestRun(s, '`')+1)
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") || strings.TrimSpace(s) == "" {
		s = " " + s + " "
	}
	return fence + s + fence
}

// BlockMarkdown makes s a fenced code block.
func BlockMarkdown(s, language string) string {
	fence := strings.Repeat("`", max(3, longestRun(s, '`')+1))
	return fence + language + "\n" + strings.TrimRight(s, "\n") + "\n" + fence + "\n"
}

func longestRun(s string, c rune) (longest int) {
	run := 0
	for _, r := range s {
		if r == c {
			run++
			longest = max(longest, run)
		} else {
			run = 0
		}
	}
	return longest
}
