package docker

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/docker/client"
)

// endpoint is where the engine is looked for, and who says so.
type endpoint struct{ host, from string }

// defaultContext is the docker command's name for "no context".
const defaultContext = "default"

// findEndpoint finds the engine as the docker command does: DOCKER_HOST, then the context named by
// DOCKER_CONTEXT, then the current context of the docker command's config.json, then the default
// socket. Docker Desktop, colima and OrbStack make a context and make it the current one.
func findEndpoint() (endpoint, error) {
	chosen, err := contextEndpoint()
	host := os.Getenv(client.EnvOverrideHost)
	switch {
	case host != "" && (err != nil || chosen.host != host):
		return endpoint{host, "DOCKER_HOST"}, nil
	case err != nil:
		return endpoint{}, err
	}
	return chosen, nil // also when DOCKER_HOST says the same: testcontainers is told by it
}

// contextEndpoint is findEndpoint but for DOCKER_HOST.
func contextEndpoint() (endpoint, error) {
	folder := os.Getenv("DOCKER_CONFIG")
	if folder == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return endpoint{client.DefaultDockerHost, "the default"}, nil // no home, no contexts
		}
		folder = filepath.Join(home, ".docker")
	}
	name, from := os.Getenv("DOCKER_CONTEXT"), "DOCKER_CONTEXT"
	if name == "" {
		file := filepath.Join(folder, "config.json")
		var config struct {
			CurrentContext string `json:"currentContext"`
		}
		if err := readJSON(file, &config); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return endpoint{}, fmt.Errorf("find the Docker engine by %s: %w; DOCKER_HOST names one without it", file, err)
		}
		name, from = config.CurrentContext, "the current context of "+file
	}
	if name == "" || name == defaultContext {
		return endpoint{client.DefaultDockerHost, "the default"}, nil
	}
	return named(folder, name, fmt.Sprintf("context %s, %s", name, from))
}

// named looks a context up in the docker command's store.
func named(folder, name, from string) (endpoint, error) {
	id := fmt.Sprintf("%x", sha256.Sum256([]byte(name)))
	var meta struct {
		Endpoints map[string]struct{ Host string }
	}
	file := filepath.Join(folder, "contexts", "meta", id, "meta.json")
	if err := readJSON(file, &meta); err != nil {
		return endpoint{}, fmt.Errorf("find the Docker engine by %s: %w; `docker context ls` lists them", from, err)
	}
	host := meta.Endpoints["docker"].Host
	scheme, _, _ := strings.Cut(host, "://")
	_, err := os.Stat(filepath.Join(folder, "contexts", "tls", id))
	switch {
	case scheme != "unix" && scheme != "npipe" && scheme != "tcp":
		return endpoint{}, fmt.Errorf("find the Docker engine by %s: its endpoint %q is no unix, npipe or tcp address: forward its socket and name that in DOCKER_HOST", from, host)
	case err == nil:
		return endpoint{}, fmt.Errorf("find the Docker engine by %s: it has certificates of its own: set DOCKER_HOST=%s, DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH", from, host)
	}
	return endpoint{host, from}, nil
}

func readJSON(file string, into any) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}
