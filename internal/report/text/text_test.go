package text_test

import (
	"testing"

	"chaos/internal/report/reporttest"
	"chaos/internal/report/text"
)

func TestConformance(t *testing.T) { reporttest.Run(t, text.Format()) }
