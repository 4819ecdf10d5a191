package text

import (
	"bytes"
	"fmt"

	"chaos/internal/report"
)

// telemetry tells figures and drift; the other formats draw the map and follow single operations.
func telemetry(out *bytes.Buffer, v *report.Variant) {
	t := v.Telemetry
	if t == nil {
		return
	}
	out.WriteString("\n")
	w := table(out)
	fmt.Fprintln(w, "  TELEMETRY\t")
	for _, f := range t.Facts {
		fmt.Fprintf(w, "  %s\t%s\n", line(f.Name), line(f.Value))
	}
	flush(w)
	for _, s := range t.Troubles {
		fmt.Fprintf(out, "    %s\n", line(s))
	}
	for _, s := range t.Drift {
		fmt.Fprintf(out, "    drift, %s\n", line(s))
	}
	for _, e := range t.Exemplars {
		fmt.Fprintf(out, "    to follow one operation: chaos trace <this run's folder> %s (%s)\n", line(e.Trace), line(e.Title))
	}
}
