package environment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
)

// An api talks to the API server as its administrator.
type api struct {
	server                      string
	client                      *http.Client
	authority, certificate, key []byte         // PEM
	cluster                     map[string]any // as a kubeconfig names it; of an existing one, nil otherwise
}

// A statusError is a refusal by the API server.
type statusError struct {
	request string
	code    int
	message string
}

func (e *statusError) Error() string { return fmt.Sprintf("%s: %d: %s", e.request, e.code, e.message) }

func isConflict(err error) bool { return hasStatus(err, http.StatusConflict) }
func isNotFound(err error) bool { return hasStatus(err, http.StatusNotFound) }

func hasStatus(err error, code int) bool {
	var status *statusError
	return errors.As(err, &status) && status.code == code
}

// create posts an object; into, when not nil, receives the answer.
func (a *api) create(ctx context.Context, path string, object, into any) error {
	return a.call(ctx, http.MethodPost, path, object, into)
}

func (a *api) get(ctx context.Context, path string, into any) error {
	return a.call(ctx, http.MethodGet, path, nil, into)
}

func (a *api) call(ctx context.Context, method, path string, object, into any) error {
	var body io.Reader
	if object != nil {
		content, err := json.Marshal(object)
		if err != nil {
			return err
		}
		body = bytes.NewReader(content)
	}
	request, err := http.NewRequestWithContext(ctx, method, a.server+path, body)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "environment")
	response, err := a.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		var status struct{ Message string }
		_ = json.Unmarshal(content, &status) // what is no Status has no message
		return &statusError{method + " " + path, response.StatusCode, status.Message}
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(content, into)
}

// collects answers a probe that succeeds when an object of ours whose owner does not exist has been
// removed. The collector watches every resource that the API server had at its start by then.
func (a *api) collects() func(context.Context) error {
	const path = "/api/v1/namespaces/default/configmaps"
	const name = "collected-by-owner-reference"
	created := false
	return func(ctx context.Context) error {
		if created {
			err := a.get(ctx, path+"/"+name, nil)
			if isNotFound(err) {
				created = false // for the next start
				return nil
			}
			return errors.Join(err, errors.New("an object without its owner is still there"))
		}
		err := a.create(ctx, path, map[string]any{"metadata": map[string]any{
			"name": name,
			"ownerReferences": []any{map[string]string{
				"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "00000000-0000-0000-0000-000000000000",
			}},
		}}, nil)
		created = err == nil
		return errors.Join(err, errors.New("the object without its owner was only just made"))
	}
}

// writeKubeconfig writes a kubeconfig for the given user, JSON being YAML too.
func (a *api) writeKubeconfig(file, namespace string, user map[string]any) error {
	cluster := a.cluster
	if cluster == nil {
		cluster = map[string]any{"server": a.server, "certificate-authority-data": a.authority}
	}
	content, err := json.MarshalIndent(map[string]any{
		"apiVersion":      "v1",
		"kind":            "Config",
		"current-context": "environment",
		"contexts": []any{map[string]any{"name": "environment", "context": map[string]any{
			"cluster": "environment", "user": "environment", "namespace": namespace,
		}}},
		"clusters": []any{map[string]any{"name": "environment", "cluster": cluster}},
		"users":    []any{map[string]any{"name": "environment", "user": user}},
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o600)
}

// writeAdminKubeconfig is for kubectl and for the tests themselves.
func (a *api) writeAdminKubeconfig(file string) error {
	return a.writeKubeconfig(file, "default", map[string]any{
		"client-certificate-data": a.certificate, "client-key-data": a.key,
	})
}

// writeServiceAccountKubeconfig asks for a token of the ServiceAccount, which must exist, that lasts
// a day.
func (a *api) writeServiceAccountKubeconfig(ctx context.Context, file, namespace, serviceAccount string) error {
	path := "/api/v1/namespaces/" + namespace + "/serviceaccounts/" + serviceAccount + "/token"
	var answer struct{ Status struct{ Token string } }
	request := map[string]any{"spec": map[string]any{"expirationSeconds": 24 * 60 * 60}}
	if err := a.create(ctx, path, request, &answer); err != nil {
		return err
	}
	return a.writeKubeconfig(file, namespace, map[string]any{"token": answer.Status.Token})
}
