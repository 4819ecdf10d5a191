package target

import "testing"

// A refusal names what is needed, the runtime, and where it would work.
func TestNeedSaysWhereItWouldWork(t *testing.T) {
	docker := Capabilities{Runtime: "docker", Verbs: []Verb{VerbSignal, VerbPause}}
	process := Capabilities{Runtime: "process", Verbs: []Verb{VerbPause}}
	urls := Capabilities{Runtime: "urls"}
	all := []Capabilities{docker, process, urls}
	for _, c := range []struct {
		caps Capabilities
		verb Verb
		want string
	}{
		{docker.Among(all), VerbPause, ""},
		{urls.Among(all), VerbPause, "k needs node.pause, which runtime urls does not have; runtimes that have it: docker, process"},
		{process.Among(all), VerbSignal, "k needs node.signal, which runtime process does not have; runtimes that have it: docker"},
		{docker.Among(all), VerbExec, "k needs node.exec, which runtime docker does not have; no runtime has it"},
		{urls, VerbPause, "k needs node.pause, which runtime urls does not have"},
	} {
		got := ""
		if err := c.caps.Need("k", c.verb); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s needs %s:\n got %q\nwant %q", c.caps.Runtime, c.verb, got, c.want)
		}
	}
	if docker.Has != nil {
		t.Error("Among changed what it was called on")
	}
}
