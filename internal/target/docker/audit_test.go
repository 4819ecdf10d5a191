package docker

import (
	"testing"

	"github.com/docker/docker/api/types/container"
)

// TestNoQuotaIsNoQuota: the engine writes it in two ways, and a limit that was taken away again is not
// left behind.
func TestNoQuotaIsNoQuota(t *testing.T) {
	words := func(quota, period int64) string {
		var c container.InspectResponse
		c.ContainerJSONBase = &container.ContainerJSONBase{HostConfig: &container.HostConfig{Resources: container.Resources{CPUQuota: quota, CPUPeriod: period}}}
		return limitWords(c)
	}
	if never, undone := words(0, 0), words(-1, 100_000); never != undone {
		t.Errorf("before %q, after %q", never, undone)
	}
	if words(25_000, 100_000) == words(0, 0) {
		t.Error("a quota is not told from none")
	}
}
