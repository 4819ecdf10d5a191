package docker

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/client"
)

// dockerFolder is a docker command's folder with contexts, and no word of the environment.
func dockerFolder(t *testing.T, current string, contexts map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	t.Setenv("DOCKER_CONFIG", folder)
	t.Setenv("DOCKER_HOST", "")
	t.Setenv("DOCKER_CONTEXT", "")
	write := func(text string, path ...string) {
		file := filepath.Join(append([]string{folder}, path...)...)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(fmt.Sprintf(`{"auths":{},"currentContext":%q}`, current), "config.json")
	for name, host := range contexts {
		id := fmt.Sprintf("%x", sha256.Sum256([]byte(name)))
		write(fmt.Sprintf(`{"Name":%q,"Metadata":{},"Endpoints":{"docker":{"Host":%q,"SkipTLSVerify":false}}}`, name, host), "contexts", "meta", id, "meta.json")
		if name == "tls" {
			write("x", "contexts", "tls", id, "docker", "ca.pem")
		}
	}
	return folder
}

// The engine is the one that the docker command would use.
func TestEndpoint(t *testing.T) {
	contexts := map[string]string{"colima": "unix:///c.sock", "desk": "unix:///d.sock", "far": "ssh://me@far", "tls": "tcp://10.0.0.1:2376"}
	for _, c := range []struct{ name, host, context, current, want, from string }{
		{"nothing said", "", "", "", client.DefaultDockerHost, "the default"},
		{"the default by name", "", "default", "colima", client.DefaultDockerHost, "the default"},
		{"current context", "", "", "colima", "unix:///c.sock", "context colima, the current context of "},
		{"DOCKER_CONTEXT", "", "desk", "colima", "unix:///d.sock", "context desk, DOCKER_CONTEXT"},
		{"DOCKER_HOST", "unix:///h.sock", "desk", "colima", "unix:///h.sock", "DOCKER_HOST"},
		{"DOCKER_HOST beside a broken context", "unix:///h.sock", "none", "", "unix:///h.sock", "DOCKER_HOST"},
		{"DOCKER_HOST as testcontainers is told", "unix:///c.sock", "", "colima", "unix:///c.sock", "context colima"},
		{"no such context", "", "none", "", "", "docker context ls"},
		{"over ssh", "", "far", "", "", "forward its socket"},
		{"with certificates", "", "tls", "", "", "DOCKER_CERT_PATH"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dockerFolder(t, c.current, contexts)
			t.Setenv("DOCKER_HOST", c.host)
			t.Setenv("DOCKER_CONTEXT", c.context)
			got, err := findEndpoint()
			if c.want == "" {
				if err == nil || !strings.Contains(err.Error(), c.from) {
					t.Errorf("%v, want an error with %q", err, c.from)
				}
				return
			}
			if err != nil || got.host != c.want || !strings.HasPrefix(got.from, c.from) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// An engine that can't be reached is named, and so is who named it.
func TestTheErrorNamesTheEndpoint(t *testing.T) {
	sock := "unix://" + filepath.Join(t.TempDir(), "none.sock")
	dockerFolder(t, "colima", map[string]string{"colima": sock})
	_, err := dial(context.Background())
	if err == nil || !strings.Contains(err.Error(), sock) || !strings.Contains(err.Error(), "from context colima") {
		t.Error(err)
	}
}
