package chart

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestTheApiServerAcceptsEveryRendering(t *testing.T) {
	cluster := sharedCluster(t)
	for _, name := range []string{"team-a", "123", "on", "operators", "null"} {
		cluster.createNamespace(t, name)
	}
	for _, one := range renderings {
		golden := filepath.Join("testdata/golden", one.name+".yaml")
		for _, line := range strings.Split(cluster.kubectl(t, "", "apply", "--server-side", "--force-conflicts",
			"--dry-run=server", "--validate=strict", "-f", golden), "\n") {
			if strings.Contains(line, "Warning") {
				t.Errorf("%s: %s", one.name, line)
			}
		}
	}
}

// The expressions have the types that they are used as.
func TestNoPolicyIsWarnedOf(t *testing.T) {
	cluster := sharedCluster(t)
	items, _ := cluster.get(t, "validatingadmissionpolicy")["items"].([]any)
	if len(items) != 7 {
		t.Errorf("expected 7 policies, there are %d", len(items))
	}
	for _, one := range items {
		if warnings := at(one, "status", "typeChecking", "expressionWarnings"); warnings != nil {
			t.Errorf("%v: %v", at(one, "metadata", "name"), warnings)
		}
	}
}

func TestPodsAreAcceptedByTheRestrictedStandard(t *testing.T) {
	cluster := sharedCluster(t)
	cluster.createNamespace(t, "restricted")
	cluster.kubectl(t, "", "label", "namespace", "restricted", "pod-security.kubernetes.io/enforce=restricted")
	deployment := cluster.get(t, "-n", namespace, "deployment", namespace)
	template, _ := at(deployment, "spec", "template").(object)
	metadata, _ := template["metadata"].(object)
	metadata["name"] = "pod"
	delete(metadata, "creationTimestamp")
	spec, _ := template["spec"].(object)
	spec["serviceAccountName"] = "default"
	template["apiVersion"], template["kind"] = "v1", "Pod"
	cluster.kubectl(t, toJSON(t, template), "-n", "restricted", "create", "-f", "-")
	for _, field := range []string{"runAsUser", "runAsGroup", "fsGroup", "supplementalGroups"} {
		if strings.Contains(toJSON(t, deployment["spec"]), field) {
			t.Errorf("the Deployment has %s, which OpenShift's restricted-v2 refuses", field)
		}
	}
}

// Release and namespace are words that YAML would read otherwise, one release's name is used twice, and
// two releases share a namespace.
func TestOddNamesAndSeveralReleases(t *testing.T) {
	cluster := sharedCluster(t)
	installed := []struct{ release, namespace string }{
		{"on", "1e3"}, {"on", "null-1"}, {"1e3", "null-1"}, {"123", "0x10"}, {"null", "007"}, {"a.b", "007"},
		{strings.Repeat("quay-rotator", 4), strings.Repeat("n", 63)},
	}
	for at, one := range installed {
		helm := helms()[at%len(helms())]
		helm.do(t, "install", one.release, chartDirectory, "--kubeconfig", cluster.AdminKubeconfig, "--namespace",
			one.namespace, "--create-namespace", "--set", "crds.enabled=false", "--set", "networkPolicy.enabled=true")
	}
	leases := map[string]bool{}
	for _, one := range installed {
		list := cluster.get(t, "-n", one.namespace, "deployment", "-l", "app.kubernetes.io/instance="+one.release)
		items, _ := list["items"].([]any)
		if len(items) != 1 {
			t.Fatalf("%v has %d Deployments", one, len(items))
		}
		text := toJSON(t, items[0])
		_, after, _ := strings.Cut(text, "--leader-election-id=")
		lease, _, _ := strings.Cut(after, `"`)
		if lease == "" || leases[one.namespace+"/"+lease] {
			t.Errorf("%v has the Lease %q, as another release", one, lease)
		}
		leases[one.namespace+"/"+lease] = true
		account := fmt.Sprint(at(items[0], "spec", "template", "spec", "serviceAccountName"))
		user := "system:serviceaccount:" + one.namespace + ":" + account
		if !cluster.may(t, user, "list", "quayrotator.dev", "robottokenrotations", "", "", "") ||
			!cluster.may(t, user, "update", "coordination.k8s.io", "leases", "", one.namespace, lease) {
			t.Errorf("%v has not the rights that it needs", one)
		}
		cluster.kubectl(t, "", "-n", one.namespace, "get", "service/"+account, "poddisruptionbudget/"+account, "networkpolicy/"+account)
	}
	// What they leave alone is not theirs.
	helms()[0].do(t, "uninstall", "on", "--kubeconfig", cluster.AdminKubeconfig, "--namespace", "1e3")
	if !cluster.may(t, "system:serviceaccount:null-1:on-quay-rotator", "list", "quayrotator.dev", "robottokenrotations", "", "", "") {
		t.Error("with one release another of that name lost its rights")
	}
}

// may asks the API server whether the user may do that to one of our resources (or a part of it), or to a
// Lease of that name.
func (c *cluster) may(t *testing.T, user, verb, group, resource, part, namespace, name string) bool {
	t.Helper()
	var answer struct{ Status struct{ Allowed bool } }
	review := object{"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": object{
		"user": user, "resourceAttributes": object{"verb": verb, "group": group, "resource": resource, "subresource": part,
			"namespace": namespace, "name": name}}}
	if err := c.Call(t.Context(), "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review, &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Status.Allowed
}

func TestUsersGetRightsByTheirRoles(t *testing.T) {
	cluster := sharedCluster(t)
	cluster.createNamespace(t, "roles")
	// What the controller of aggregated roles would gather, bound by itself.
	for _, role := range []string{"view", "edit", "admin"} {
		var rules []any
		list := cluster.get(t, "clusterrole", "-l", "rbac.authorization.k8s.io/aggregate-to-"+role+"=true,app.kubernetes.io/name=quay-rotator")
		items, _ := list["items"].([]any)
		for _, item := range items {
			own, _ := at(item, "rules").([]any)
			rules = append(rules, own...)
		}
		cluster.kubectl(t, toJSON(t, object{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
			"metadata": object{"name": role, "namespace": "roles"}, "rules": rules}), "apply", "-f", "-")
		cluster.kubectl(t, "", "-n", "roles", "create", "rolebinding", role, "--role="+role, "--user="+role)
	}
	for _, resource := range []string{"robottokenrotations", "quayconnections"} {
		for _, user := range []string{"view", "edit", "admin"} {
			writes := user != "view"
			for verb, expected := range map[string]bool{"list": true, "watch": true, "create": writes, "patch": writes, "delete": writes} {
				if cluster.may(t, user, verb, "quayrotator.dev", resource, "", "roles", "") != expected {
					t.Errorf("whether %s may %s %s is not %v", user, verb, resource, expected)
				}
			}
			// Who owns a robot is written there.
			if cluster.may(t, user, "patch", "quayrotator.dev", resource, "status", "roles", "") {
				t.Errorf("%s may write the status of %s", user, resource)
			}
		}
	}
}

func TestDefinitionsAreGuarded(t *testing.T) {
	cluster := sharedCluster(t)
	for _, path := range []string{"/quayconnections.quayrotator.dev", "/robottokenrotations.quayrotator.dev", ""} {
		_, err := cluster.try("", "delete", "--raw", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"+path)
		expectError(t, err, "of the cluster would be deleted: if that is wanted, kubectl annotate crd")
	}
	other := strings.NewReplacer("quayrotator.dev", "example.com").Replace(readFile(t, "crds/quayrotator.dev_quayconnections.yaml"))
	cluster.kubectl(t, other, "apply", "-f", "-")
	cluster.kubectl(t, other, "delete", "-f", "-", "--wait=false")
	cluster.kubectl(t, "", "annotate", "crd", "quayconnections.quayrotator.dev", "quayrotator.dev/allow-deletion=true")
	cluster.kubectl(t, "", "delete", "--dry-run=server", "crd", "quayconnections.quayrotator.dev")
	cluster.kubectl(t, "", "annotate", "crd", "quayconnections.quayrotator.dev", "quayrotator.dev/allow-deletion-")
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// A serviceAccount acts with its own token.
type serviceAccount struct {
	cluster *cluster
	token   string
	client  *http.Client
}

func (c *cluster) serviceAccount(t *testing.T, namespace, name string) serviceAccount {
	t.Helper()
	var answer struct{ Status struct{ Token string } }
	if err := c.Call(t.Context(), "POST", "/api/v1/namespaces/"+namespace+"/serviceaccounts/"+name+"/token",
		object{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": object{}}, &answer); err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(c.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	return serviceAccount{c, answer.Status.Token, &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
	}}}
}

func (s serviceAccount) send(method, path, contentType string, body any) error {
	content, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(method, s.cluster.APIServer+path, bytes.NewReader(content))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	request.Header.Set("Content-Type", contentType)
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, response.Status, answer)
	}
	return err
}

func (s serviceAccount) create(path string, body any) error {
	return s.send("POST", path, "application/json", body)
}

func (s serviceAccount) merge(path string, patch string) error {
	return s.send("PATCH", path, "application/merge-patch+json", json.RawMessage(patch))
}

// What RBAC alone would allow is refused by the policies, and what the operator does is not.
func TestTheOperatorsWritesAreConfined(t *testing.T) {
	cluster := sharedCluster(t)
	cluster.createNamespace(t, "tenant")
	operator := cluster.serviceAccount(t, namespace, namespace)
	const secrets, rotations = "/api/v1/namespaces/tenant/secrets/", "/apis/quayrotator.dev/v1alpha1/namespaces/tenant/robottokenrotations/"
	secret := func(name string, change func(object)) object {
		one := object{"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
			"metadata": object{"name": name, "namespace": "tenant", "labels": object{"app.kubernetes.io/managed-by": "quay-rotator"}},
			"data":     object{".dockerconfigjson": "e30="}}
		if change != nil {
			change(one)
		}
		return one
	}
	metadata := func(key string, value any) func(object) {
		return func(one object) {
			fields, _ := one["metadata"].(object)
			fields[key] = value
		}
	}
	apply := func(one object) error {
		return operator.send("PATCH", fmt.Sprint(secrets, at(one, "metadata", "name"), "?force=true&fieldManager=test"), "application/apply-patch+yaml", one)
	}
	allowed := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	const onlyPull = "writes Secrets of the type kubernetes.io/dockerconfigjson alone"

	allowed(apply(secret("ours", nil)))
	allowed(apply(secret("ours", metadata("ownerReferences", []object{{
		"apiVersion": "quayrotator.dev/v1alpha1", "kind": "RobotTokenRotation", "name": "a", "uid": "1",
	}}))))
	expectError(t, apply(secret("opaque", func(one object) { one["type"] = "Opaque" })), onlyPull)
	// With one of these it would be whoever it likes.
	expectError(t, apply(secret("identity", func(one object) {
		one["type"] = "kubernetes.io/service-account-token"
		metadata("annotations", object{"kubernetes.io/service-account.name": "default"})(one)
	})), onlyPull)
	expectError(t, apply(secret("bare", metadata("labels", object{}))), "has its label")
	expectError(t, apply(secret("stranger", metadata("labels", object{"app.kubernetes.io/managed-by": "Helm"}))), "has its label")
	expectError(t, apply(secret("ours", metadata("finalizers", []string{"example.com/never"}))), "sets neither finalizers nor immutable")
	expectError(t, apply(secret("ours", func(one object) { one["immutable"] = true })), "sets neither finalizers nor immutable")
	expectError(t, apply(secret("ours", func(one object) {
		one["data"] = object{".dockerconfigjson": "e30=", "more": "YQ=="}
	})), "writes the key .dockerconfigjson alone")
	expectError(t, apply(secret("ours", metadata("ownerReferences", []object{{
		"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "1",
	}}))), "names no other owner")

	// Others' Secrets.
	foreign := object{"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
		"metadata": object{"name": "foreign", "namespace": "tenant"}, "data": object{".dockerconfigjson": "e30=", "more": "YQ=="}}
	cluster.kubectl(t, toJSON(t, foreign), "apply", "-f", "-")
	cluster.kubectl(t, "", "-n", "tenant", "create", "secret", "generic", "api", "--from-literal=token=a")
	expectError(t, apply(secret("foreign", nil)), "only where quayrotator.dev/allow-take-over-by lets it")
	expectError(t, operator.send("DELETE", secrets+"foreign", "application/json", nil), "deletes Secrets with its label")
	expectError(t, operator.merge(secrets+"api", `{"data":{"token":"Yg=="}}`), onlyPull)
	expectError(t, operator.merge(secrets+"api", `{"metadata":{"labels":{"app.kubernetes.io/managed-by":"quay-rotator"}}}`), onlyPull)
	cluster.kubectl(t, "", "-n", "tenant", "annotate", "secret", "foreign", "quayrotator.dev/allow-take-over-by=a")
	allowed(operator.merge(secrets+"foreign", `{"metadata":{"ownerReferences":null}}`))
	expectError(t, operator.merge(secrets+"foreign", `{"data":{".dockerconfigjson":"e30K"}}`), "has its label")
	allowed(apply(secret("foreign", nil)))
	cluster.kubectl(t, "", "-n", "tenant", "label", "secret", "ours", "app.kubernetes.io/managed-by-")
	expectError(t, apply(secret("ours", nil)), "only where quayrotator.dev/allow-take-over-by lets it")
	cluster.kubectl(t, "", "-n", "tenant", "annotate", "secret", "ours", "quayrotator.dev/rotation=tenant/a")
	allowed(apply(secret("ours", nil)))
	allowed(operator.send("DELETE", secrets+"ours", "application/json", nil))

	// What users ask for.
	cluster.kubectl(t, readFile(t, "docs/examples/rotation.yaml"), "-n", "tenant", "apply", "-f", "-")
	change := func(patch string) error {
		return operator.merge(rotations+"puller", patch)
	}
	allowed(change(`{"metadata":{"annotations":{"quayrotator.dev/cluster":"a","quayrotator.dev/initialized-at":"2026-01-01T00:00:00Z"}}}`))
	allowed(operator.merge(rotations+"puller/status", `{"status":{"robots":[{"name":"acme+puller","role":"Active"}]}}`))
	expectError(t, change(`{"spec":{"suspend":true}}`), "neither makes, deletes nor changes what users ask for")
	expectError(t, change(`{"metadata":{"annotations":{"quayrotator.dev/rotate-requested-at":"now"}}}`), "quayrotator.dev/initialized-at alone")
	expectError(t, change(`{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":null}}}`), "quayrotator.dev/initialized-at alone")
	expectError(t, change(`{"metadata":{"labels":{"a":"b"}}}`), "neither labels, finalizers nor owners")
	expectError(t, change(`{"metadata":{"finalizers":["example.com/never"]}}`), "neither labels, finalizers nor owners")

	const events = "/apis/events.k8s.io/v1/namespaces/tenant/events"
	const leases = "/apis/coordination.k8s.io/v1/namespaces/" + namespace + "/leases"
	event := func(kind, version string) object {
		return object{"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": object{"name": strings.ToLower(kind), "namespace": "tenant"},
			"eventTime": "2026-01-01T00:00:00.000000Z", "type": "Normal", "reason": "Rotated", "action": "Rotate", "note": "a",
			"regarding":           object{"apiVersion": version, "kind": kind, "name": "a", "namespace": "tenant"},
			"reportingController": "quayrotator.dev/quay-rotator", "reportingInstance": "a"}
	}
	allowed(operator.create(events, event("RobotTokenRotation", "quayrotator.dev/v1alpha1")))
	expectError(t, operator.create(events, event("Pod", "v1")), "Events about its own resources alone")
	lease := func(name string) object {
		return object{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": object{"name": name, "namespace": namespace}}
	}
	expectError(t, operator.create(leases, lease("another")), "the operator writes the Lease quay-rotator alone")
	allowed(operator.create(leases, lease("quay-rotator")))
}

// kubectl apply -k gives what the chart gives, but for the definitions' annotation, which helm reads, and
// the namespace.
func TestKustomizeGivesWhatTheChartGives(t *testing.T) {
	cluster := sharedCluster(t)
	kustomized := byName(t, cluster.kubectl(t, "", "kustomize", filepath.Join(root, "deploy")))
	rendered := byName(t, helms()[0].do(t, "template", namespace, chartDirectory, "--namespace", namespace))
	if kustomized["Namespace <nil>/quay-rotator"] == nil {
		t.Error("there is no Namespace")
	}
	delete(kustomized, "Namespace <nil>/quay-rotator")
	for name, one := range rendered {
		if !reflect.DeepEqual(one, kustomized[name]) {
			t.Errorf("%s differs", name)
		}
		delete(kustomized, name)
	}
	for name := range kustomized {
		t.Errorf("%s is not in the chart", name)
	}
	// As it is: what helm has installed here and what is applied are of two managers that want the same.
	applied := cluster.kubectl(t, "", "apply", "--server-side", "--dry-run=server", "--validate=strict", "-k", filepath.Join(root, "deploy"))
	if lines := strings.Count(applied, "serverside-applied"); lines != len(rendered)+1 {
		t.Errorf("%d objects are applied, there are %d", lines, len(rendered)+1)
	}
}

func TestNotesTellWhatToDoNext(t *testing.T) {
	cluster := sharedCluster(t)
	text := helms()[0].do(t, "get", "notes", namespace, "--kubeconfig", cluster.AdminKubeconfig, "--namespace", namespace)
	for _, part := range []string{"kubectl --namespace quay-rotator rollout status deployment/quay-rotator", "kubectl get rtr"} {
		if !strings.Contains(text, part) {
			t.Errorf("the notes do not say %q:\n%s", part, text)
		}
	}
}
