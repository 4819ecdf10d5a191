package main

import (
	"context"
	"regexp"
	"testing"
	"time"

	"chaos/internal/target/docker"
	"chaos/internal/verdict"
)

// others are the networks that were on the engine before a test. An engine that lost count of a network's
// endpoints refuses to remove it until it is restarted, and chaos heal says so each time: what somebody else
// left in that state is not what a test did.
type others map[string]bool

func networksBefore(t *testing.T) others {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	found, _ := docker.List(ctx) // without an engine there is nothing
	o := make(others)
	for _, f := range found {
		if f.Kind == "network" {
			o[f.ID] = true
		}
	}
	return o
}

var notRemoved = regexp.MustCompile(`(?m)^(LEFT .*|.*remove network [0-9a-f]{64}:.*)$`)
var networkID = regexp.MustCompile(`remove network ([0-9a-f]{64}): .* has active endpoints`)

// code is the exit code of chaos heal without what others left.
func (o others) code(code int, said string) int {
	if code != verdict.ExitResidue {
		return code
	}
	for _, line := range notRemoved.FindAllString(said, -1) {
		if id := networkID.FindStringSubmatch(line); id == nil || !o[id[1]] {
			return code
		}
	}
	return verdict.ExitOK
}

func TestWhatOthersLeft(t *testing.T) {
	const mine, theirs = "1111111111111111111111111111111111111111111111111111111111111111", "2222222222222222222222222222222222222222222222222222222222222222"
	stuck := func(id string) string {
		return "remove network " + id + ": Error response from daemon: network x id " + id + " has active endpoints (nothing is on it)\n"
	}
	o := others{theirs: true}
	for _, c := range []struct {
		code, want int
		said       string
	}{
		{0, 0, "nothing to heal"},
		{3, 0, "reverted a\nLEFT runtime docker: " + stuck(theirs) + "chaos: something is left"},
		{3, 3, "LEFT runtime docker: " + stuck(mine)},
		{3, 3, "LEFT runtime docker: " + stuck(theirs) + stuck(mine)},
		{3, 3, "LEFT runtime docker: " + stuck(theirs) + "LEFT node:redis of run r"},
		{3, 3, "LEFT runtime docker: remove network " + theirs + ": the engine is silent\n"},
		{1, 1, "LEFT runtime docker: " + stuck(theirs)},
	} {
		if got := o.code(c.code, c.said); got != c.want {
			t.Errorf("%d, want %d:\n%s", got, c.want, c.said)
		}
	}
}
