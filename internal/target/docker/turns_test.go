package docker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A container is paused only between commands, other containers are not waited for, and a command waits for the
// pause: a start and a freeze at once leave an engine that hangs.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns turns
		one, err := turns.command(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		two, err := turns.command(t.Context(), "a")
		if err != nil {
			t.Fatal("two commands at once:", err)
		}
		if done, err := turns.pause(t.Context(), "b"); err != nil {
			t.Fatal(err)
		} else {
			done()
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := turns.pause(short, "a"); err == nil {
			t.Fatal("paused beside two commands")
		}
		var order []string
		go func() {
			done, err := turns.pause(t.Context(), "a")
			if err != nil {
				t.Error(err)
				return
			}
			order = append(order, "paused")
			time.Sleep(time.Second)
			order = append(order, "made")
			done()
		}()
		synctest.Wait()
		one()
		synctest.Wait()
		if len(order) != 0 {
			t.Fatal("paused beside a command")
		}
		two()
		synctest.Wait()
		three, err := turns.command(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if len(order) != 2 {
			t.Fatalf("a command beside a pause: %v", order)
		}
		three()
	})
}
