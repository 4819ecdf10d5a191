package docker

import (
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"chaos/internal/target"
)

// What an engine says of a container's networks, as seen on engines that add the host name to the aliases
// and on those that do not.
func TestConnectionOf(t *testing.T) {
	named := []string{"redis", "0123456789ab"}
	for name, c := range map[string]struct {
		running bool
		at      *network.EndpointSettings
		want    target.Connection
	}{
		"runs, on it":                 {true, &network.EndpointSettings{EndpointID: "e", Aliases: named}, target.Connected},
		"runs, on it without a name":  {true, &network.EndpointSettings{EndpointID: "e", Aliases: named[1:]}, target.Nameless},
		"runs, on none":               {true, nil, target.Disconnected},
		"runs, without an endpoint":   {true, &network.EndpointSettings{Aliases: named}, target.Disconnected},
		"stopped, will be on it":      {false, &network.EndpointSettings{Aliases: named}, target.Connected},
		"stopped, will have no name":  {false, &network.EndpointSettings{}, target.Nameless},
		"stopped, will be on none":    {false, nil, target.Disconnected},
		"runs, on another network":    {true, nil, target.Disconnected},
		"stopped, on another network": {false, nil, target.Disconnected},
	} {
		on := map[string]*network.EndpointSettings{"other": {EndpointID: "o", Aliases: named}}
		if c.at != nil {
			on["ours"] = c.at
		}
		inspected := container.InspectResponse{
			ContainerJSONBase: &container.ContainerJSONBase{State: &container.State{Running: c.running}},
			NetworkSettings:   &container.NetworkSettings{Networks: on},
		}
		if got := (&System{networkName: "ours"}).connectionOf(inspected, "redis"); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
