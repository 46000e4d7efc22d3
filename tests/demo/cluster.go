package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quayrotator.dev/tests/environment"
)

// A cluster is the demonstration's view of its environment: kubectl for what a user would type, plain
// requests for what is asked again and again.
type cluster struct {
	*environment.Environment
	directory string // for files of ours; goes with the environment
	namespace string // of the resources
	guest     bool   // the cluster was there before: see guest.go
}

// kubectl runs as the administrator and answers what it printed.
func (c *cluster) kubectl(ctx context.Context, input string, arguments ...string) (string, error) {
	arguments = append([]string{"--kubeconfig=" + c.AdminKubeconfig,
		"--cache-dir=" + filepath.Join(c.directory, "kubectl")}, arguments...)
	command := exec.CommandContext(ctx, c.Kubectl, arguments...)
	command.Stdin = strings.NewReader(input)
	var complaints bytes.Buffer
	command.Stderr = &complaints
	output, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w\n%s", strings.Join(arguments[2:], " "), err, &complaints)
	}
	return string(output), nil
}

// A rotation is what the story looks at in a RobotTokenRotation.
type rotation struct {
	Metadata struct{ Generation int64 }
	Status   struct {
		ObservedGeneration int64
		Conditions         []struct{ Type, Status, Reason, Message string }
		Robots             []robotStatus
		Next               struct{ Time time.Time }
		Rotation           *struct{ ID, Reason, PreviousFingerprint string }
		History            []change
	}
}

// A change of the token, as the history of the status keeps it, newest first.
type change struct{ Reason, Result, Outage, Fingerprint string }

type robotStatus struct{ Name, Role, Fingerprint string }

// active answers the robot whose token the Secrets hold, or an empty one.
func (r *rotation) active() robotStatus {
	for _, robot := range r.Status.Robots {
		if robot.Role == "Active" {
			return robot
		}
	}
	return robotStatus{}
}

// fingerprint answers that of the token which the status tells of, or "".
func (r *rotation) fingerprint() string { return r.active().Fingerprint }

// ready answers nil or what the condition says.
func (r *rotation) ready() error {
	for _, condition := range r.Status.Conditions {
		if condition.Type == "Ready" && condition.Status == "True" {
			return nil
		}
		if condition.Type == "Ready" {
			return fmt.Errorf("Ready is %s, %s: %s", condition.Status, condition.Reason, condition.Message)
		}
	}
	return errors.New("it has no condition Ready yet")
}

// since answers what came after the token with the fingerprint, oldest first, without failed attempts.
func (r *rotation) since(fingerprint string) ([]change, error) {
	known := slices.IndexFunc(r.Status.History, func(c change) bool { return c.Fingerprint == fingerprint })
	if known < 0 {
		return nil, fmt.Errorf("the history in the status lacks %s", fingerprint)
	}
	changes := slices.DeleteFunc(slices.Clone(r.Status.History[:known]), func(c change) bool { return c.Result != "Succeeded" })
	slices.Reverse(changes)
	return changes, nil
}

func (c *cluster) rotation(ctx context.Context, name string) (read *rotation, err error) {
	read = &rotation{}
	path := "/apis/quayrotator.dev/v1alpha1/namespaces/" + c.namespace + "/robottokenrotations/" + name
	return read, c.Call(ctx, http.MethodGet, path, nil, read)
}

// pullSecret reads the login of one of the robots, or of the demonstration's own.
func (c *cluster) pullSecret(ctx context.Context, name string, robots ...string) (credential, error) {
	var secret struct{ Data map[string][]byte }
	if err := c.Call(ctx, http.MethodGet, "/api/v1/namespaces/"+c.namespace+"/secrets/"+name, nil, &secret); err != nil {
		return credential{}, err
	}
	return parseCredential(secret.Data[".dockerconfigjson"], c.RegistryHost, append(robots, robotName)...)
}

func (c *cluster) createPullSecret(ctx context.Context, name string, content credential) error {
	return c.Call(ctx, http.MethodPost, "/api/v1/namespaces/"+c.namespace+"/secrets", map[string]any{
		"metadata": map[string]any{"name": name}, "type": "kubernetes.io/dockerconfigjson",
		"data": map[string]any{".dockerconfigjson": content.configuration},
	}, nil)
}

// createPod runs the private image on the node, pulled anew with the Secret.
func (c *cluster) createPod(ctx context.Context, name, secret string) error {
	return c.Call(ctx, http.MethodPost, "/api/v1/namespaces/"+c.namespace+"/pods", map[string]any{
		"metadata": map[string]any{"name": name},
		"spec": map[string]any{
			"imagePullSecrets": []any{map[string]any{"name": secret}},
			"containers":       []any{map[string]any{"name": "app", "image": c.Image, "imagePullPolicy": "Always"}},
			// There is no scheduler and no network plugin, see the environment's README.
			"nodeName": c.Node.Name, "hostNetwork": true, "restartPolicy": "Never",
			"tolerations":                   []any{map[string]any{"operator": "Exists"}},
			"terminationGracePeriodSeconds": 1,
		},
	}, nil)
}

func (c *cluster) deletePod(ctx context.Context, name string) error {
	return c.Call(ctx, http.MethodDelete, "/api/v1/namespaces/"+c.namespace+"/pods/"+name, nil, nil)
}

// podState is Running, another phase, or why its container waits: ErrImagePull.
func (c *cluster) podState(ctx context.Context, name string) (state, message string, err error) {
	var pod struct {
		Status struct {
			Phase             string
			ContainerStatuses []struct {
				State struct {
					Waiting struct{ Reason, Message string }
				}
			}
		}
	}
	if err = c.Call(ctx, http.MethodGet, "/api/v1/namespaces/"+c.namespace+"/pods/"+name, nil, &pod); err != nil {
		return "", "", err
	}
	for _, container := range pod.Status.ContainerStatuses {
		if waiting := container.State.Waiting; waiting.Reason != "" {
			return waiting.Reason, waiting.Message, nil
		}
	}
	return pod.Status.Phase, "", nil
}

// events counts those on an object by their reason.
func (c *cluster) events(ctx context.Context, object string) (map[string]int, error) {
	var list struct {
		Items []struct {
			Reason    string
			Regarding struct{ Name string }
			Series    struct{ Count int }
		}
	}
	if err := c.Call(ctx, http.MethodGet, "/apis/events.k8s.io/v1/namespaces/"+c.namespace+"/events", nil, &list); err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for _, event := range list.Items {
		if event.Regarding.Name == object {
			counts[event.Reason] += max(1, event.Series.Count)
		}
	}
	return counts, nil
}

// pull is a registry client other than a node: it copies the image with the credential.
func (c *cluster) pull(ctx context.Context, with credential) error {
	authentication := filepath.Join(c.directory, "auth.json")
	if err := os.WriteFile(authentication, with.configuration, 0o600); err != nil {
		return err
	}
	image := filepath.Join(c.directory, "image")
	output, err := exec.CommandContext(ctx, "skopeo", "copy", "--insecure-policy", "--authfile", authentication,
		"--src-cert-dir", filepath.Dir(c.QuayCAFile), "docker://"+c.Image, "dir:"+image).CombinedOutput()
	if err != nil {
		return fmt.Errorf("skopeo copy: %w\n%s", err, bytes.TrimSpace(output))
	}
	return os.RemoveAll(image)
}

// manifest makes JSON, which is YAML, of objects for kubectl.
func manifest(objects ...map[string]any) (string, error) {
	content, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": objects})
	return string(content), err
}
