package docker

import (
	"encoding/json"
	"fmt"
	"maps"

	"chaos/internal/journal"
	"chaos/internal/target"
)

// Labels of everything that this runtime makes: containers, anonymous volumes and networks. Sweep
// and Attach find things by them and touch nothing without them.
const (
	LabelSuite   = "chaos.suite"   // life of the target
	LabelRun     = "chaos.run"     // run that the container was made for
	LabelOwner   = "chaos.owner"   // journal.Owner as JSON: the process that is answerable
	LabelTarget  = "chaos.target"  // name of the target
	LabelNode    = "chaos.node"    // name of the node
	LabelKeep    = "chaos.keep"    // "true": outlives its owner on purpose; Sweep spares it
	labelSecrets = "chaos.secrets" // tokens of the target, on its network; so that a handle in run.json holds none
)

// labels returns the labels of everything in the target's life.
func (s *System) labels(run string) (map[string]string, error) {
	owner, err := json.Marshal(s.owner)
	if err != nil {
		return nil, fmt.Errorf("encode the owner: %w", err)
	}
	l := map[string]string{
		LabelSuite: s.suite, LabelRun: run, LabelOwner: string(owner), LabelTarget: s.topology.Name,
	}
	if s.keep {
		l[LabelKeep] = "true"
	}
	return l, nil
}

// nodeLabels are labels plus the node's name.
func (s *System) nodeLabels(run string, n target.NodeSpec) (map[string]string, error) {
	l, err := s.labels(run)
	if err != nil {
		return nil, err
	}
	l = maps.Clone(l)
	l[LabelNode] = n.Name
	return l, nil
}

// ownerOf reads the owner back from labels.
func ownerOf(labels map[string]string) (journal.Owner, error) {
	var o journal.Owner
	if err := json.Unmarshal([]byte(labels[LabelOwner]), &o); err != nil {
		return journal.Owner{}, fmt.Errorf("read label %s: %w", LabelOwner, err)
	}
	return o, nil
}
