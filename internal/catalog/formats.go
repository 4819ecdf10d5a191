package catalog

import (
	"chaos/internal/report"
	"chaos/internal/report/html"
	"chaos/internal/report/json"
	"chaos/internal/report/junit"
	"chaos/internal/report/markdown"
	"chaos/internal/report/postmortem"
)

// Formats are the reports of one experiment that are written beside its runs.
func Formats() []report.Format {
	return []report.Format{html.Format(), markdown.Format(), json.Format(), junit.Format(), postmortem.Format()}
}

// Indexes are the indexes of the reports folder.
func Indexes() []report.IndexFormat {
	return []report.IndexFormat{html.Index(), markdown.Index()}
}
