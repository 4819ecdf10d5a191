package json_test

import (
	"testing"

	"chaos/internal/report/json"
	"chaos/internal/report/reporttest"
)

func TestConformance(t *testing.T) { reporttest.Run(t, json.Format()) }
