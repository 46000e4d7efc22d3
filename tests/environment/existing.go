package environment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// newExisting stands for a control plane that somebody else runs. However its kubeconfig logs in, kubectl
// can do it, so requests go through `kubectl proxy` on a unix socket. The kubeconfig is copied, reduced to its
// current context, and the copy goes away with the directory.
func newExisting(directory, kubectl, kubeconfig, copied string) (*controlPlane, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, err
	}
	view := exec.Command(kubectl, "config", "view", "--raw", "--minify", "--flatten", "--output=json")
	view.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	var complaints bytes.Buffer
	view.Stderr = &complaints
	content, err := view.Output()
	if err != nil {
		return nil, fmt.Errorf("the kubeconfig %s: %w\n%s", kubeconfig, err, bytes.TrimSpace(complaints.Bytes()))
	}
	var config struct {
		Clusters []struct{ Cluster map[string]any }
	}
	if err = json.Unmarshal(content, &config); err != nil {
		return nil, fmt.Errorf("kubectl config view: %w", err)
	}
	if len(config.Clusters) != 1 {
		return nil, fmt.Errorf("the kubeconfig %s has no current context with a cluster", kubeconfig)
	}
	if err = os.WriteFile(copied, content, 0o600); err != nil {
		return nil, err
	}
	socket := filepath.Join(directory, "proxy.sock")
	made := &controlPlane{api: &api{
		server:  "http://localhost", // as kubectl proxy accepts it
		cluster: config.Clusters[0].Cluster,
		client: &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", socket)
			},
		}},
	}}
	made.proxy = &process{
		name:      "kubectl-proxy",
		arguments: []string{kubectl, "proxy", "--kubeconfig=" + copied, "--unix-socket=" + socket},
		log:       filepath.Join(directory, "kubectl-proxy.log"),
		ready:     made.answersThroughProxy,
	}
	return made, nil
}

// answersThroughProxy fails as long as the cluster cannot be used.
func (c *controlPlane) answersThroughProxy(ctx context.Context) error {
	err := c.api.get(ctx, "/version", nil)
	var status *statusError
	if errors.As(err, &status) && status.message == "" {
		// kubectl proxy says in plain text only that it could not reach the cluster; its log says why.
		return fmt.Errorf("the cluster %v does not answer: %w", c.api.cluster["server"], err)
	}
	return err
}

// existingKubectl answers the kubectl for an existing cluster.
func existingKubectl() (string, error) {
	found, err := exec.LookPath("kubectl")
	if err != nil {
		return "", errors.New("an existing cluster needs a kubectl on the PATH")
	}
	return filepath.Abs(strings.TrimSpace(found))
}
