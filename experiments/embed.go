// Package experiments holds the catalogue: one YAML file per experiment (README.md says what each one
// proves). They are embedded, so that the command knows them by name wherever it runs.
package experiments

import "embed"

// Files are the experiments, <name>.yaml each.
//
//go:embed *.yaml
var Files embed.FS
