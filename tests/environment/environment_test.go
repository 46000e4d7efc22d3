package environment

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"quayrotator.dev/tests/environment/environmenttest"
)

// binaries answers the control plane's directory (built once, in minutes, when it is not yet) and
// quay-sim and environment, freshly built.
func binaries(t *testing.T) (controlPlane, quaySim, program string) {
	t.Helper()
	directory := t.TempDir()
	return environmenttest.Built(t, "control-plane"), environmenttest.Program(t, directory, "quay-sim"),
		environmenttest.Program(t, directory, "environment/cmd/environment")
}

// remains tells what is left of an environment: processes that name its directory, its bridge, its
// control groups, the directory.
func remains(directory, identifier string) error {
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	for _, file := range commands {
		if content, _ := os.ReadFile(file); strings.Contains(string(content), directory+"/") {
			return fmt.Errorf("left: %s: %s", file, strings.ReplaceAll(string(content), "\x00", " "))
		}
	}
	if _, err := net.InterfaceByName(bridgePrefix + identifier); err == nil {
		return errors.New("left: the bridge")
	}
	groups, err := filepath.Glob("/sys/fs/cgroup/*/" + groupPrefix + identifier)
	if err != nil || len(groups) != 0 {
		return fmt.Errorf("left: %v, %v", groups, err)
	}
	if _, err := os.Stat("/sys/fs/cgroup/" + groupPrefix + identifier); err == nil {
		return errors.New("left: the control group")
	}
	if _, err := os.Stat(directory); err == nil {
		return errors.New("left: " + directory)
	}
	return nil
}

func identifierOf(t *testing.T, directory string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(directory, identifierFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// start runs a pod with the environment's image and a pull secret for acme+puller.
func startPod(t *testing.T, up *Environment, name, token string) {
	t.Helper()
	configuration, err := json.Marshal(map[string]any{"auths": map[string]any{
		up.RegistryHost: map[string]string{"username": "acme+puller", "password": token},
	}})
	if err != nil {
		t.Fatal(err)
	}
	err = up.plane.api.create(t.Context(), "/api/v1/namespaces/team/secrets", map[string]any{
		"metadata": map[string]any{"name": name}, "type": "kubernetes.io/dockerconfigjson",
		"data": map[string]any{".dockerconfigjson": configuration},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = up.plane.api.create(t.Context(), "/api/v1/namespaces/team/pods", map[string]any{
		"metadata": map[string]any{"name": name},
		"spec": map[string]any{
			"nodeName": up.Node.Name, "hostNetwork": true, "imagePullSecrets": []any{map[string]any{"name": name}},
			"tolerations": []any{map[string]any{"operator": "Exists"}},
			"containers":  []any{map[string]any{"name": "app", "image": up.Image, "imagePullPolicy": "Always"}},
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

func podState(t *testing.T, up *Environment, name string) string {
	var pod struct {
		Status struct {
			Phase             string
			ContainerStatuses []struct {
				State struct{ Waiting struct{ Reason string } }
			}
		}
	}
	if err := up.plane.api.get(t.Context(), "/api/v1/namespaces/team/pods/"+name, &pod); err != nil {
		return err.Error()
	}
	if len(pod.Status.ContainerStatuses) > 0 && pod.Status.ContainerStatuses[0].State.Waiting.Reason != "" {
		return pod.Status.ContainerStatuses[0].State.Waiting.Reason
	}
	return pod.Status.Phase
}

func kubectl(up *Environment, kubeconfig string, arguments ...string) (string, error) {
	command := exec.Command(up.Kubectl, append([]string{"--kubeconfig", kubeconfig}, arguments...)...)
	output, err := command.CombinedOutput()
	return string(output), err
}

// One environment for all cases: it takes seconds to come up.
func TestWholeEnvironment(t *testing.T) {
	controlPlane, quaySim, _ := binaries(t)
	up, err := Up(t.Context(), Options{
		BinDirectory: controlPlane,
		QuaySim:      quaySim,
		Node:         true,
		Progress:     func(line string) { t.Log(line) },
		Unexpected:   func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	identifier := identifierOf(t, up.Directory)
	t.Cleanup(func() {
		if err := up.Down(); err != nil {
			t.Error(err)
		}
		environmenttest.Eventually(t, func() error { return remains(up.Directory, identifier) })
	})
	if err := up.CreateNamespace(t.Context(), "team"); err != nil {
		t.Fatal(err)
	}
	var robot struct{ Token string }
	environmenttest.Call(t, up.QuayControlSocket, "GET", "/robots/acme+puller", nil, &robot)

	t.Run("a registry client logs in with the robot's token only", func(t *testing.T) {
		skopeo, err := find("skopeo")
		if err != nil {
			t.Fatal(err)
		}
		inspect := func(token string) ([]byte, error) {
			return exec.Command(skopeo, "inspect", "--cert-dir", filepath.Dir(up.QuayCAFile),
				"--creds", "acme+puller:"+token, "docker://"+up.Image).CombinedOutput()
		}
		if output, err := inspect(robot.Token); err != nil {
			t.Errorf("%v\n%s", err, output)
		}
		if output, err := inspect("X" + robot.Token); err == nil || !strings.Contains(string(output), "unauthorized") {
			t.Errorf("%v\n%s", err, output)
		}
	})

	t.Run("pods run with a right pull secret only", func(t *testing.T) {
		if !up.Node.Available {
			if os.Geteuid() == 0 {
				t.Fatal(up.Node.Reason)
			}
			t.Skip("left out, as there is no node: " + up.Node.Reason)
		}
		startPod(t, up, "right", robot.Token)
		startPod(t, up, "wrong", "X"+robot.Token)
		for name, expected := range map[string]string{"right": "Running", "wrong": "ErrImagePull"} {
			environmenttest.Eventually(t, func() error {
				if state := podState(t, up, name); state != expected {
					return fmt.Errorf("pod %s is %s", name, state)
				}
				return nil
			})
		}
		environmenttest.Eventually(t, func() error {
			output, err := kubectl(up, up.AdminKubeconfig, "-n", "team", "logs", "right")
			if err != nil || !strings.Contains(output, "acme/app is running") {
				return fmt.Errorf("%w: %s", err, output)
			}
			return nil
		})
	})

	t.Run("a ServiceAccount has its own rights only", func(t *testing.T) {
		var answer struct{ Path string }
		environmenttest.Call(t, up.ControlSocket, "POST", "/kubeconfig", map[string]string{"namespace": "team", "serviceAccount": "default"}, &answer)
		if output, err := kubectl(up, answer.Path, "auth", "whoami"); err != nil || !strings.Contains(output, "system:serviceaccount:team:default") {
			t.Errorf("%v\n%s", err, output)
		}
		if output, err := kubectl(up, answer.Path, "get", "secrets"); err == nil || !strings.Contains(output, "Forbidden") {
			t.Errorf("%v\n%s", err, output)
		}
		environmenttest.Eventually(t, func() error {
			audit, err := os.ReadFile(up.AuditLog)
			if err != nil || !strings.Contains(string(audit), `"username":"system:serviceaccount:team:default"`) {
				return fmt.Errorf("the audit log lacks the requests: %w", err)
			}
			return nil
		})
	})

	t.Run("processes come back on their ports with their data", func(t *testing.T) {
		if !up.ControllerManager.Available {
			t.Error(up.ControllerManager.Reason)
		}
		// The first runs on while the others come and go.
		for _, name := range []string{"kube-controller-manager", "quay-sim", "docker-registry", "kube-apiserver", "etcd"} {
			for _, action := range []string{"kill", "start", "stop", "start"} {
				environmenttest.Call(t, up.ControlSocket, "POST", "/processes/"+name+"/"+action, nil, nil)
				var pids map[string]int
				environmenttest.Call(t, up.ControlSocket, "GET", "/processes", nil, &pids)
				if (pids[name] != 0) != (action == "start") {
					t.Errorf("%s after %s: %v", name, action, pids)
				}
			}
		}
		environmenttest.Eventually(t, func() error {
			output, err := kubectl(up, up.AdminKubeconfig, "get", "namespace", "team", "-o", "name")
			if err != nil {
				return fmt.Errorf("%w: %s", err, output)
			}
			return nil
		})
		environmenttest.Call(t, up.ControlSocket, "POST", "/images", map[string]string{"image": "acme/app:second"}, nil)
	})
}

// The parent of an environment dies, or the environment itself: nothing may stay behind.
func TestNothingOutlivesTheProgram(t *testing.T) {
	controlPlane, quaySim, program := binaries(t)
	for name, end := range map[string]func(*exec.Cmd, io.Closer){
		"stdin closes": func(_ *exec.Cmd, stdin io.Closer) { _ = stdin.Close() },
		"SIGTERM":      func(up *exec.Cmd, _ io.Closer) { _ = up.Process.Signal(syscall.SIGTERM) },
		"SIGKILL":      func(up *exec.Cmd, _ io.Closer) { _ = up.Process.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // side by side is how people will run them
			directory, err := os.MkdirTemp("", "outlive")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(directory); err != nil {
				t.Fatal(err)
			}
			command := exec.Command(program, "up", "--node", "--directory", directory, "--until-stdin-closes",
				"--bin-directory", controlPlane, "--quay-sim", quaySim)
			command.Stderr = os.Stderr
			stdin, err := command.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := command.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(stdout)
			for lines.Scan() && !strings.HasPrefix(lines.Text(), "environment ready") {
				t.Log(lines.Text())
			}
			identifier := identifierOf(t, directory)
			if os.Geteuid() == 0 && remains("/nowhere", identifier) == nil {
				t.Error("there is no node that could outlive it")
			}
			end(command, stdin)
			err = command.Wait()
			if name != "SIGKILL" && err != nil {
				t.Error(err)
			}
			if name == "SIGKILL" {
				// Who is killed cannot remove the directory. Clean may come before the keeper is done.
				environmenttest.Eventually(t, func() error { return Clean(directory) })
			}
			environmenttest.Eventually(t, func() error { return remains(directory, identifier) })
		})
	}
}
