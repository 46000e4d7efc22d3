package chart

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"quayrotator.dev/tests/environment/environmenttest"
)

// previous is the chart as it was last released, or last changed before there were releases; but with
// definitions that the program works with: before a first release they change without conversion.
const previous = "testdata/quay-rotator-0.1.0.tgz"

// An operator runs as the pods of the release's Deployment would: with their arguments and the rights of
// their ServiceAccount.
type operator struct {
	command *exec.Cmd
	log     string
}

func (c *cluster) startOperator(t *testing.T, release string) *operator {
	t.Helper()
	program, err := filepath.Abs(filepath.Join(root, "build/bin/quay-rotator"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = os.Stat(program); err != nil {
		t.Fatal("there is no program: make build")
	}
	spec, _ := at(c.get(t, "-n", namespace, "deployment", release), "spec", "template", "spec").(object)
	containers, _ := spec["containers"].([]any)
	var arguments []string
	list, _ := at(containers[0], "args").([]any)
	for _, one := range list {
		arguments = append(arguments, fmt.Sprint(one))
	}
	kubeconfig, err := c.Kubeconfig(t.Context(), namespace, fmt.Sprint(spec["serviceAccountName"]))
	if err != nil {
		t.Fatal(err)
	}
	started := &operator{log: filepath.Join(t.TempDir(), "log")}
	output, err := os.Create(started.log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = output.Close() }()
	started.command = exec.Command(program, append(arguments, "--kubeconfig="+kubeconfig, "--leader-election-namespace="+namespace,
		"--health-probe-bind-address=127.0.0.1:0", "--metrics-bind-address=127.0.0.1:0", "--allowed-quay-hosts=localhost")...)
	started.command.Env = []string{"POD_NAME=" + release + "-0", "PATH=/usr/bin:/bin"}
	started.command.Stdout, started.command.Stderr = output, output
	started.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err = started.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = started.command.Process.Kill()
		_ = started.command.Wait()
		if t.Failed() {
			content, _ := os.ReadFile(started.log)
			t.Logf("the operator's log:\n%s", content)
		}
	})
	environmenttest.Eventually(t, func() error {
		content, err := os.ReadFile(started.log)
		if err == nil && !strings.Contains(string(content), "caches are complete") {
			err = errors.New("the operator does not lead, or waits for its caches")
		}
		return err
	})
	return started
}

func (o *operator) stop(t *testing.T) {
	t.Helper()
	_ = o.command.Process.Signal(syscall.SIGTERM)
	if err := o.command.Wait(); err != nil {
		t.Errorf("the operator ended: %v", err)
	}
}

const rotationPath = "/apis/quayrotator.dev/v1alpha1/namespaces/team/robottokenrotations/"

func (c *cluster) rotation(t *testing.T, name string) (one object) {
	t.Helper()
	if err := c.Call(t.Context(), "GET", rotationPath+name, nil, &one); err != nil {
		t.Fatal(err)
	}
	return one
}

func readiness(one object) string {
	conditions, _ := at(one, "status", "conditions").([]any)
	for _, condition := range conditions {
		if at(condition, "type") == "Ready" {
			return fmt.Sprint(at(condition, "status"), " ", at(condition, "message"))
		}
	}
	return "unknown"
}

func (c *cluster) waitUntilReady(t *testing.T, name string) {
	t.Helper()
	environmenttest.Eventually(t, func() error {
		if ready := readiness(c.rotation(t, name)); !strings.HasPrefix(ready, "True") {
			return fmt.Errorf("%s: Ready is %s", name, ready)
		}
		return nil
	})
}

// team makes a namespace in which a robot's token is kept in two Secrets, of which one goes with its
// resource, and another robot is there to see that the operator works: canary.
func (c *cluster) team(t *testing.T) {
	t.Helper()
	c.createNamespace(t, "team")
	var token struct{ Token string }
	environmenttest.Call(t, c.QuayControlSocket, "GET", "/tokens/automation", nil, &token)
	c.kubectl(t, "", "-n", "team", "create", "secret", "generic", "quay-api", "--from-literal=token="+token.Token)
	c.kubectl(t, "", "-n", "team", "create", "configmap", "quay-ca", "--from-file=ca.crt="+c.QuayCAFile)
	c.kubectl(t, toJSON(t, object{"apiVersion": "quayrotator.dev/v1alpha1", "kind": "QuayConnection",
		"metadata": object{"name": "quay", "namespace": "team"}, "spec": object{"url": c.QuayURL,
			"credentialsSecretRef": object{"name": "quay-api"}, "ca": object{"configMapRef": object{"name": "quay-ca"}}}}), "apply", "-f", "-")
	for name, policy := range map[string]string{"kept": "Retain", "owned": "Delete", "canary": "Retain"} {
		environmenttest.Call(t, c.QuayControlSocket, "PUT", "/robots/acme+"+name, object{}, nil)
		c.kubectl(t, toJSON(t, object{"apiVersion": "quayrotator.dev/v1alpha1", "kind": "RobotTokenRotation",
			"metadata": object{"name": name, "namespace": "team"}, "spec": object{"connectionRef": object{"name": "quay"},
				"robot": object{"organization": "acme", "name": name}, "schedule": object{"interval": "720h"}, "deletionPolicy": policy,
				"targets": []object{{"secret": object{"name": name}}}}}), "apply", "-f", "-")
	}
}

// rotateCanary asks for a rotation and waits for its end: by then the operator has also looked at
// everything that was there when it started.
func (c *cluster) rotateCanary(t *testing.T, request string) {
	t.Helper()
	c.kubectl(t, "", "-n", "team", "annotate", "rtr", "canary", "--overwrite", "quayrotator.dev/rotate-requested-at="+request)
	environmenttest.Eventually(t, func() error {
		canary := c.rotation(t, "canary")
		if at(canary, "status", "lastHandledRotateRequest") != request || at(canary, "status", "rotation") != nil {
			return fmt.Errorf("the rotation %q has not ended: Ready is %s", request, readiness(canary))
		}
		return nil
	})
	for _, name := range []string{"kept", "owned"} {
		c.waitUntilReady(t, name)
	}
}

// state is what must survive: the resources, the Secrets, and what Quay counts.
func (c *cluster) state(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, kind := range []string{"crd", "qc", "rtr", "secret"} {
		items, _ := c.get(t, "-n", "team", kind)["items"].([]any)
		for _, one := range items {
			name := fmt.Sprint(at(one, "metadata", "name"))
			what := fmt.Sprint(at(one, "metadata", "uid"))
			if kind == "secret" && name != "canary" {
				what += fmt.Sprint(" ", at(one, "metadata", "resourceVersion"))
			}
			all[kind+" "+name] = what
		}
	}
	for _, name := range []string{"kept", "owned"} {
		var robot struct{ Regenerations int }
		environmenttest.Call(t, c.QuayControlSocket, "GET", "/robots/acme+"+name, nil, &robot)
		all["regenerations of "+name] = fmt.Sprint(robot.Regenerations)
	}
	return all
}

func TestALifeOfARelease(t *testing.T) {
	t.Parallel()
	for _, helm := range helms() {
		t.Run(helm.name, func(t *testing.T) {
			t.Parallel()
			life(t, helm, bringUp(t), previous, "validatingadmissionpolicy,validatingadmissionpolicybinding")
		})
	}
}

// TestALifeOfAReleaseOnTheOldestKubernetes is the same on the oldest version that the chart takes, whose API server
// is compiled for this alone: `make install-check` asks for it.
func TestALifeOfAReleaseOnTheOldestKubernetes(t *testing.T) {
	if os.Getenv("QUAY_ROTATOR_OLDEST_KUBERNETES") == "" {
		t.Skip("make install-check runs it")
	}
	t.Parallel()
	server := filepath.Join(environmenttest.Built(t, "kube-apiserver"), "kube-apiserver")
	for _, helm := range helms() {
		t.Run(helm.name, func(t *testing.T) {
			t.Parallel()
			cluster := bringUpWith(t, server)
			var version struct{ GitVersion string }
			if err := cluster.Call(t.Context(), "GET", "/version", nil, &version); err != nil || !strings.HasPrefix(version.GitVersion, "v1.29.") {
				t.Fatalf("this is no Kubernetes 1.29 but %q (%v)", version.GitVersion, err)
			}
			if served, err := cluster.try("", "api-resources", "-o", "name"); err != nil || strings.Contains(served, "validatingadmissionpolic") {
				t.Fatalf("its admission policies are not yet in v1, %v; it serves\n%s", err, served)
			}
			life(t, helm, cluster, chartDirectory, "") // the previous chart's policies were not left out there
		})
	}
}

// life goes through everything that is done to a release whose first chart is given. more are kinds that it has,
// besides those of any version of Kubernetes.
func life(t *testing.T, helm helm, cluster *cluster, first, more string) {
	defer func() {
		if err := cluster.Down(); err != nil {
			t.Error(err)
		}
	}()
	do := func(arguments ...string) {
		t.Helper()
		helm.do(t, append(arguments, "--kubeconfig", cluster.AdminKubeconfig, "--namespace", namespace)...)
	}
	const release = "quay-rotator"
	do("install", release, first, "--create-namespace")
	cluster.team(t)
	running := cluster.startOperator(t, release)
	cluster.waitUntilReady(t, "kept")
	cluster.waitUntilReady(t, "owned")
	before := cluster.state(t)
	if len(before) != 2+1+3+4+2 {
		t.Fatalf("this should be in the cluster: %v", before)
	}
	steps := 0
	// Nothing that must survive is another, and a fresh operator works.
	unchanged := func(what string) {
		t.Helper()
		running.stop(t)
		running = cluster.startOperator(t, release)
		steps++
		cluster.rotateCanary(t, fmt.Sprint(steps))
		if after := cluster.state(t); !reflect.DeepEqual(before, after) {
			t.Fatalf("%s changed\n%s\nto\n%s", what, toJSON(t, before), toJSON(t, after))
		}
	}
	unchanged("a restart")

	if first == previous {
		// Its definitions were no part of the release.
		_, err := helm.try(t, "upgrade", release, chartDirectory, "--kubeconfig", cluster.AdminKubeconfig, "--namespace", namespace)
		expectError(t, err, "quayconnections.quayrotator.dev")
		do("upgrade", release, chartDirectory, "--take-ownership")
		unchanged("an upgrade from the previous chart")
	}
	do("upgrade", release, chartDirectory, "--set", "replicas=3")
	unchanged("an upgrade")
	do("rollback", release)
	unchanged("a rollback")
	if first == previous {
		do("rollback", release, "1")
		unchanged("a rollback to the previous chart")
		do("upgrade", release, chartDirectory, "--take-ownership")
		unchanged("another upgrade")
	}

	running.stop(t)
	do("uninstall", release)
	if after := cluster.state(t); !reflect.DeepEqual(before, after) {
		t.Fatalf("uninstalling changed\n%s\nto\n%s", toJSON(t, before), toJSON(t, after))
	}
	left := cluster.kubectl(t, "", "get", "-o", "name", "-A", "-l", "app.kubernetes.io/instance="+release,
		strings.TrimSuffix("all,sa,pdb,clusterrole,clusterrolebinding,role,rolebinding,"+more, ","))
	if strings.Contains(left, "/") {
		t.Errorf("this is left:\n%s", left)
	}
	do("install", release, chartDirectory)
	running = cluster.startOperator(t, release)
	unchanged("installing again")

	// Whoever wants all of it to go says so first.
	running.stop(t)
	do("upgrade", release, chartDirectory, "--set", "crds.keep=false")
	do("uninstall", release)
	environmenttest.Eventually(t, func() error {
		if definitions, err := cluster.try("", "get", "crd", "-o", "name"); err != nil || strings.Contains(definitions, "quayrotator.dev") {
			return errors.Join(err, errors.New("the definitions are still there: "+definitions))
		}
		return nil
	})
	cluster.kubectl(t, "", "-n", "team", "get", "secret", "kept", "owned")
}

// Two releases in one namespace, each with a namespace of its own to look after, and each with its lease.
func TestTwoReleasesInOneNamespaceDoNotWaitForEachOther(t *testing.T) {
	cluster := sharedCluster(t)
	cluster.team(t)
	cluster.createNamespace(t, "elsewhere")
	for release, watched := range map[string]string{"first": "team", "second": "elsewhere"} {
		helms()[0].do(t, "install", release, chartDirectory, "--kubeconfig", cluster.AdminKubeconfig, "--namespace", namespace,
			"--set", "crds.enabled=false", "--set", "namespaces={"+watched+"}")
	}
	second := cluster.startOperator(t, "second-quay-rotator")
	first := cluster.startOperator(t, "first-quay-rotator")
	cluster.waitUntilReady(t, "kept")
	first.stop(t)
	second.stop(t)
}
