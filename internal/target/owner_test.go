package target

import (
	"os"
	"os/exec"
	"testing"

	"chaos/internal/journal"
)

func TestAliveKnowsARecycledPid(t *testing.T) {
	me, err := Self("engine")
	if err != nil {
		t.Fatal(err)
	}
	if !Alive(me) || me.UID != os.Getuid() || me.Machine == "" || me.Engine != "engine" {
		t.Errorf("this process: %+v, alive %v", me, Alive(me))
	}
	recycled := me
	recycled.PIDTime += "0"
	if Alive(recycled) {
		t.Error("another start time is another process")
	}
	elsewhere := recycled
	elsewhere.PIDSpace = "pid:[1]"
	if !Alive(elsewhere) {
		t.Error("a process of another pid namespace can't be seen here, and counts as alive")
	}
	gone := exec.Command("true")
	if err := gone.Start(); err != nil {
		t.Fatal(err)
	}
	started, err := ProcessStart(gone.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Wait(); err != nil {
		t.Fatal(err)
	}
	if Alive(journal.Owner{PID: gone.Process.Pid, PIDTime: started}) {
		t.Error("a process that ended is alive")
	}
}
