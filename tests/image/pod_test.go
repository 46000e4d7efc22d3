package image

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quayrotator.dev/tests/environment"
	"quayrotator.dev/tests/environment/environmenttest"
)

type object = map[string]any

// What OpenShift's restricted-v2 does, as far as a pod can tell: whoever names no user gets one of the
// namespace's own range, and whoever names another one is refused.
const openShift = `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: restricted-v2}
spec:
  failurePolicy: Fail
  reinvocationPolicy: Never
  matchConstraints:
    namespaceSelector: {matchLabels: {scc: restricted-v2}}
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  matchConditions:
  - name: names-no-user
    expression: "!has(object.spec.securityContext) || !has(object.spec.securityContext.runAsUser)"
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: "Object{spec: Object.spec{securityContext: Object.spec.securityContext{runAsUser: 1000660000, fsGroup: 1000660000}}}"
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: restricted-v2}
spec: {policyName: restricted-v2}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: restricted-v2}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {matchLabels: {scc: restricted-v2}}
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  variables:
  - {name: pod, expression: object.spec.securityContext}
  validations:
  - expression: variables.pod.runAsUser == 1000660000 && variables.pod.fsGroup == 1000660000 && !has(variables.pod.runAsGroup)
    message: the pod names a user or a group
  - expression: >-
      object.spec.containers.all(c, !has(c.securityContext) ||
      !has(c.securityContext.runAsUser) && !has(c.securityContext.runAsGroup))
    message: a container names a user or a group
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: restricted-v2}
spec: {policyName: restricted-v2, validationActions: [Deny]}
`

const team = `
apiVersion: quayrotator.dev/v1alpha1
kind: QuayConnection
metadata: {name: quay, namespace: team}
spec:
  url: %s
  credentialsSecretRef: {name: quay-api}
  ca: {configMapRef: {name: quay-ca}}
---
apiVersion: quayrotator.dev/v1alpha1
kind: RobotTokenRotation
metadata: {name: puller, namespace: team}
spec:
  connectionRef: {name: quay}
  robot: {organization: acme, name: puller}
  schedule: {interval: 720h}
  targets:
  - secret: {name: quay-pull}
`

type node struct {
	*testing.T
	*environment.Environment
	helm string
}

// The chart in a namespace that enforces the strictest PodSecurity, its image pulled by digest, its pod
// made from the Deployment: it rotates a robot, and another pod pulls its image with the new token. Then
// the same with a user that the cluster chooses.
func TestRunsAsAPod(t *testing.T) {
	if testing.Short() || os.Geteuid() != 0 {
		t.Skip("a node needs root")
	}
	images(t)
	n := bringUp(t)
	n.push()
	n.apply(openShift)
	must(t, n.CreateNamespace(t.Context(), "quay-rotator"))
	must(t, n.CreateNamespace(t.Context(), "team"))
	n.kubectl("", "label", "namespace", "quay-rotator", "team", "pod-security.kubernetes.io/enforce=restricted")
	n.install()
	n.kubectl("", "-n", "team", "create", "secret", "generic", "quay-api", "--from-literal=token="+n.apiToken())
	n.kubectl("", "-n", "team", "create", "configmap", "quay-ca", "--from-file=ca.crt="+n.QuayCAFile)

	n.startOperator(65532)
	n.apply(fmt.Sprintf(team, n.QuayURL))
	n.rotate("1")
	n.pull("first")

	n.kubectl("", "-n", "quay-rotator", "scale", "deployment", "quay-rotator", "--replicas=0")
	n.until("its end", func() error {
		if left := n.pods("quay-rotator"); len(left) != 0 {
			return fmt.Errorf("%d pods are left", len(left))
		}
		return nil
	})
	n.kubectl("", "label", "namespace", "quay-rotator", "scc=restricted-v2")
	n.kubectl("", "-n", "quay-rotator", "scale", "deployment", "quay-rotator", "--replicas=1")
	n.startOperator(anybody)
	n.rotate("2")
	n.pull("second")
}

func bringUp(t *testing.T) node {
	t.Helper()
	up, err := environment.Up(t.Context(), environment.Options{
		BinDirectory: environmenttest.Built(t, "control-plane"), QuaySim: environmenttest.Program(t, t.TempDir(), "quay-sim"), Node: true,
	})
	must(t, err)
	t.Cleanup(func() { must(t, up.Down()) })
	if !up.Node.Available {
		t.Skip(up.Node.Reason)
	}
	return node{T: t, Environment: up, helm: filepath.Join(environmenttest.Built(t, "helm"), "helm")}
}

// run fails the test unless the command succeeds.
func (n node) run(input, program string, arguments ...string) string {
	n.Helper()
	command := exec.Command(program, arguments...)
	command.Stdin = strings.NewReader(input)
	output, err := command.CombinedOutput()
	if err != nil {
		n.Fatalf("%s: %v\n%s", program, err, output)
	}
	return string(output)
}

func (n node) kubectl(input string, arguments ...string) string {
	n.Helper()
	return n.run(input, n.Kubectl, append([]string{"--kubeconfig", n.AdminKubeconfig}, arguments...)...)
}

func (n node) apply(text string) {
	n.Helper()
	n.kubectl(text, "apply", "-f", "-")
}

func (n node) until(what string, done func() error) {
	n.Helper()
	if err := environmenttest.Wait(n, 2*time.Minute, done); err != nil {
		n.Fatalf("no sign of %s: %v\n%s", what, err, n.kubectl("", "get", "events,pods,rtr", "-A", "-o", "wide"))
	}
}

func (n node) token(path string) string {
	n.Helper()
	var found struct{ Token string }
	environmenttest.Call(n, n.QuayControlSocket, http.MethodGet, path, nil, &found)
	return found.Token
}

func (n node) apiToken() string { return n.token("/tokens/automation") }

// push stores the image of build/image in the registry, as it is.
func (n node) push() {
	n.Helper()
	environmenttest.Call(n, n.QuayControlSocket, http.MethodPut, "/repositories/acme/quay-rotator",
		object{"permissions": object{"acme+pusher": "write"}}, nil)
	n.run("", "skopeo", "copy", "--all", "--preserve-digests", "--dest-cert-dir", filepath.Dir(n.QuayCAFile),
		"--dest-creds", "acme+pusher:"+n.token("/robots/acme+pusher"),
		"oci:"+layoutFolder(n.T), "docker://"+n.RegistryHost+"/acme/quay-rotator:test")
}

// install installs the chart, for one replica, as there is one node whose network all pods share.
func (n node) install() {
	n.Helper()
	n.kubectl("", "-n", "quay-rotator", "create", "secret", "docker-registry", "registry",
		"--docker-server="+n.RegistryHost, "--docker-username=acme+pusher", "--docker-password="+n.token("/robots/acme+pusher"))
	digest, err := os.ReadFile(filepath.Join(repository(n.T), "build/image/digest"))
	must(n.T, err)
	server, err := url.Parse(n.APIServer)
	must(n.T, err)
	var self struct {
		Status struct {
			Addresses []struct{ Type, Address string }
		}
	}
	must(n.T, n.Call(n.Context(), http.MethodGet, "/api/v1/nodes/"+n.Node.Name, nil, &self))
	address := self.Status.Addresses[0].Address // of this node alone: its ports are free
	values, err := json.Marshal(object{
		"image": object{
			"repository": n.RegistryHost + "/acme/quay-rotator", "digest": strings.TrimSpace(string(digest)),
		},
		"imagePullSecrets": []object{{"name": "registry"}},
		"replicas":         1,
		"tolerations":      []object{{"operator": "Exists"}},
		"allowedQuayHosts": []string{"localhost", "127.0.0.1", "*"},
		"extraArgs":        []string{"--health-probe-bind-address=" + address + ":8081", "--metrics-bind-address=" + address + ":8080"},
		"env": []object{ // there is no proxy for the address that services have
			{"name": "KUBERNETES_SERVICE_HOST", "value": server.Hostname()},
			{"name": "KUBERNETES_SERVICE_PORT", "value": server.Port()},
		},
	})
	must(n.T, err)
	home := n.TempDir()
	file := filepath.Join(home, "values.yaml")
	must(n.T, os.WriteFile(file, values, 0o600))
	n.run("", "env", "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home, "KUBECONFIG="+n.AdminKubeconfig,
		n.helm, "install", "quay-rotator", filepath.Join(repository(n.T), "charts/quay-rotator"), "-n", "quay-rotator", "-f", file)
	must(n.T, n.Start(n.Context(), "kube-controller-manager"))
}

type pod struct {
	Metadata struct {
		Name              string
		DeletionTimestamp string
	}
	Spec struct {
		NodeName        string
		HostNetwork     bool
		SecurityContext struct{ RunAsUser int64 }
	}
	Status struct {
		Phase             string
		ContainerStatuses []struct {
			Ready   bool
			ImageID string
			State   struct {
				Waiting struct{ Reason, Message string }
			}
		}
	}
}

func (n node) pods(namespace string) []pod {
	n.Helper()
	var list struct{ Items []pod }
	must(n.T, n.Call(n.Context(), http.MethodGet, "/api/v1/namespaces/"+namespace+"/pods", nil, &list))
	return list.Items
}

// startOperator does the scheduler's work, and waits until the pod is ready and runs as that user.
func (n node) startOperator(user int) {
	n.Helper()
	var found pod
	n.until("a ready operator", func() error {
		all := n.pods("quay-rotator")
		if len(all) != 1 {
			return fmt.Errorf("%d pods: %s", len(all), n.kubectl("", "-n", "quay-rotator", "describe", "replicasets"))
		}
		found = all[0]
		if found.Spec.NodeName == "" {
			must(n.T, n.Call(n.Context(), http.MethodPost, "/api/v1/namespaces/quay-rotator/pods/"+found.Metadata.Name+"/binding", object{
				"apiVersion": "v1", "kind": "Binding", "metadata": object{"name": found.Metadata.Name},
				"target": object{"apiVersion": "v1", "kind": "Node", "name": n.Node.Name},
			}, nil))
		}
		if statuses := found.Status.ContainerStatuses; len(statuses) != 1 || !statuses[0].Ready {
			return fmt.Errorf("the pod's status is %+v", found.Status)
		}
		return nil
	})
	processes := n.run("", "pgrep", "-x", "quay-rotator", "-u", fmt.Sprint(user))
	n.Logf("image %s, process %s as user %d", found.Status.ContainerStatuses[0].ImageID, strings.TrimSpace(processes), user)
}

// rotate asks for a rotation and waits until the Secret holds what Quay holds.
func (n node) rotate(request string) {
	n.Helper()
	current := func() error {
		var secret struct{ Data map[string]string }
		if err := n.Call(n.Context(), http.MethodGet, "/api/v1/namespaces/team/secrets/quay-pull", nil, &secret); err != nil {
			return err
		}
		content, err := base64.StdEncoding.DecodeString(secret.Data[".dockerconfigjson"])
		if err != nil || !bytes.Contains(content, []byte(n.token("/robots/acme+puller"))) {
			return errors.New("the Secret holds another token than Quay")
		}
		return nil
	}
	n.until("the current token in the Secret", current)
	before := n.token("/robots/acme+puller")
	n.kubectl("", "-n", "team", "annotate", "rtr", "puller", "--overwrite", "quayrotator.dev/rotate-requested-at="+request)
	n.until("a rotation", func() error {
		if n.token("/robots/acme+puller") == before {
			return errors.New("the token is the same")
		}
		return current()
	})
}

// pull starts a pod, as restricted as the operator's, that pulls its image with the Secret.
func (n node) pull(name string) {
	n.Helper()
	must(n.T, n.Call(n.Context(), http.MethodPost, "/api/v1/namespaces/team/pods", object{
		"metadata": object{"name": name},
		"spec": object{
			"nodeName": n.Node.Name, "tolerations": []object{{"operator": "Exists"}}, "terminationGracePeriodSeconds": 1,
			"imagePullSecrets": []object{{"name": "quay-pull"}},
			"securityContext":  object{"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": object{"type": "RuntimeDefault"}},
			"containers": []object{{
				"name": "app", "image": n.Image, "imagePullPolicy": "Always",
				"securityContext": object{"allowPrivilegeEscalation": false, "capabilities": object{"drop": []string{"ALL"}}},
			}},
		},
	}, nil))
	n.until("a running pod", func() error {
		for _, found := range n.pods("team") {
			if found.Metadata.Name == name && found.Status.Phase != "Running" {
				return fmt.Errorf("%+v", found.Status)
			}
		}
		return nil
	})
}
