// Package tidy holds tests only: the rules of the house, held against every Go file of the
// repository. Each rule is a function over parsed files and is itself proved by a fixture that
// breaks it.
package tidy
