package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"quayrotator.dev/tests/environment"
	"quayrotator.dev/tests/environment/environmenttest"
)

// The cluster of somebody else is one of ours, known by its kubeconfig alone.
func TestGuestLeavesTheClusterAsItWas(t *testing.T) {
	program, err := filepath.Abs("../../build/bin/demo")
	if err != nil {
		t.Fatal(err)
	}
	if _, err = os.Stat(program); err != nil {
		t.Fatal("there is no demonstration: make demo")
	}
	cluster, err := environment.Up(t.Context(), environment.Options{
		BinDirectory: environmenttest.Built(t, "control-plane"),
		QuaySim:      environmenttest.Program(t, t.TempDir(), "quay-sim"),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cluster.Down(); err != nil {
			t.Error(err)
		}
	}()
	demonstrate := func() (string, error) {
		command := exec.CommandContext(t.Context(), program, "--kubeconfig="+cluster.AdminKubeconfig)
		command.Env = append(os.Environ(), "PATH="+filepath.Dir(cluster.Kubectl)+":"+os.Getenv("PATH"), "KUBECONFIG=/nowhere")
		output, err := command.CombinedOutput()
		return string(output), err
	}
	told, err := demonstrate()
	if err != nil || !strings.Contains(told, "1 crash, 0 tokens lost") || !strings.Contains(told, cluster.APIServer) ||
		!strings.Contains(told, "skopeo pulled the image with Secret") {
		t.Fatalf("%v\n%s", err, told)
	}
	list := func(arguments ...string) string {
		t.Helper()
		arguments = append([]string{"--kubeconfig", cluster.AdminKubeconfig, "get", "-o", "name", "--ignore-not-found"}, arguments...)
		output, err := exec.CommandContext(t.Context(), cluster.Kubectl, arguments...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
		return string(output)
	}
	environmenttest.Eventually(t, func() error {
		if left := list(belongings[2:]...); left != "" {
			return errors.New("left: " + left)
		}
		return nil
	})
	if left := list("secrets", "--all-namespaces"); left != "" {
		t.Errorf("these Secrets are left:\n%s", left)
	}
	for _, phase := range []string{guestNamespace, operatorName} {
		if output, _ := exec.CommandContext(t.Context(), cluster.Kubectl, "--kubeconfig", cluster.AdminKubeconfig, "get", "namespace", phase,
			"-o", "jsonpath={.status.phase}").Output(); string(output) != "Terminating" {
			t.Errorf("the namespace %s is not going away: %s", phase, output)
		}
	}

	// Nothing here empties namespaces, so they are found by the next one.
	told, err = demonstrate()
	if err == nil || !strings.Contains(told, "the cluster has namespace/quay-rotator-demo, namespace/quay-rotator already") {
		t.Errorf("it should have been refused:\n%s", told)
	}
}
