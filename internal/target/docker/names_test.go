package docker

import (
	"testing"

	"chaos/internal/target"
	"chaos/internal/target/targettest"
)

// A resolver that was killed leaves the redirection to it: nothing is looked up any more. The undo takes it back,
// and until then nobody calls that healed.
func TestAResolverThatWasKilled(t *testing.T) {
	d := needDocker(t)
	small := targettest.Small(t)
	s := start(t, small.Topology, target.Options{Variant: "polite"})
	for what, end := range map[string]func(name string) error{
		"killed":  func(name string) error { return d.kill(t.Context(), name, "SIGKILL") },
		"removed": func(name string) error { return d.remove(t.Context(), name) },
	} {
		if err := s.SetName(t.Context(), "app", "f#0", target.NameFault{Name: "elsewhere", NoSuchHost: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Call(t.Context(), small.Through); err != nil {
			t.Fatalf("other names are as before: %v", err)
		}
		if err := end(s.container(s.namesOf("app"))); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Call(t.Context(), small.Through); err == nil {
			t.Fatalf("%s: the name is found without a resolver: the case proves nothing", what)
		}
		if st, err := s.Name(t.Context(), "app"); err != nil || st.ID == "" || st.Missed == "" {
			t.Errorf("%s: %+v, %v", what, st, err)
		}
		if err := s.ClearName(t.Context(), "app", "f#0"); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if st, err := s.Name(t.Context(), "app"); err != nil || st.ID != "" {
			t.Errorf("%s, and cleared: %+v, %v", what, st, err)
		}
		if _, err := s.Call(t.Context(), small.Through); err != nil {
			t.Errorf("%s, and cleared: %v", what, err)
		}
	}
}
