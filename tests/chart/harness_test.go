package chart

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"

	"quayrotator.dev/tests/environment"
	"quayrotator.dev/tests/environment/environmenttest"
)

const root = "../.."

var chartDirectory = filepath.Join(root, chartPath)

// An object as the API server, helm or kubectl writes it.
type object = map[string]any

// A helm is one version of it.
type helm struct{ name, program string }

// helms are helm 4 and, in `make install-check`, helm 3.
var helms = sync.OnceValue(func() []helm {
	_ = os.Getenv("UNCACHED") // go test does not see what helm reads
	t := &failing{}
	all := []helm{{"helm4", filepath.Join(environmenttest.Built(t, "helm"), "helm")}}
	if os.Getenv("QUAY_ROTATOR_HELM3") != "" {
		all = append(all, helm{"helm3", filepath.Join(environmenttest.Built(t, "helm3"), "helm")})
	}
	return all
})

// failing stands for a test where there is none yet.
type failing struct{ testing.TB }

func (*failing) Helper()           {}
func (*failing) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func (h helm) try(t testing.TB, arguments ...string) (string, error) {
	t.Helper()
	command := exec.Command(h.program, arguments...)
	command.Env = helmEnvironment(t.TempDir())
	var output, complaints bytes.Buffer
	command.Stdout, command.Stderr = &output, &complaints
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", h.name, strings.Join(arguments, " "), err, &complaints)
	}
	return output.String(), nil
}

func (h helm) do(t testing.TB, arguments ...string) string {
	t.Helper()
	output, err := h.try(t, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

func decode(t testing.TB, text string) (all []object) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for {
		var one object
		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if one != nil {
			all = append(all, one)
		}
	}
}

// at answers what is at a path of keys, or nil.
func at(value any, path ...string) any {
	for _, key := range path {
		fields, _ := value.(object)
		value = fields[key]
	}
	return value
}

func nameOf(one object) string {
	return fmt.Sprintf("%v %v/%v", one["kind"], at(one, "metadata", "namespace"), at(one, "metadata", "name"))
}

func byName(t testing.TB, text string) map[string]object {
	t.Helper()
	all := map[string]object{}
	for _, one := range decode(t, text) {
		if all[nameOf(one)] != nil {
			t.Fatalf("%s is there twice", nameOf(one))
		}
		all[nameOf(one)] = one
	}
	return all
}

func toJSON(t testing.TB, value any) string {
	t.Helper()
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A cluster is an API server with RBAC and admission, and Quay.
type cluster struct{ *environment.Environment }

func bringUp(t testing.TB) *cluster { return bringUpWith(t, "") }

// bringUpWith takes another kube-apiserver than that of tests/control-plane, if it is given one.
func bringUpWith(t testing.TB, apiServer string) *cluster {
	t.Helper()
	programs, err := os.MkdirTemp("", "chart-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(programs) }()
	up, err := environment.Up(t.Context(), environment.Options{
		BinDirectory: environmenttest.Built(t, "control-plane"),
		QuaySim:      environmenttest.Program(t, programs, "quay-sim"),
		APIServer:    apiServer,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{up}
}

var (
	sharing sync.Mutex
	shared  *cluster
)

// sharedCluster is one for all tests that leave no trace, but for namespaces of their own.
func sharedCluster(t testing.TB) *cluster {
	t.Helper()
	sharing.Lock()
	defer sharing.Unlock()
	if shared == nil {
		shared = bringUp(t)
		helms()[0].do(t, "install", namespace, chartDirectory, "--kubeconfig", shared.AdminKubeconfig,
			"--namespace", namespace, "--create-namespace")
		shared.kubectl(t, "", "wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
	}
	return shared
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared != nil {
		if err := shared.Down(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func (c *cluster) try(input string, arguments ...string) (string, error) {
	command := exec.Command(c.Kubectl, append([]string{"--kubeconfig", c.AdminKubeconfig}, arguments...)...)
	command.Stdin = strings.NewReader(input)
	output, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w\n%s", strings.Join(arguments, " "), err, output)
	}
	return string(output), nil
}

func (c *cluster) kubectl(t testing.TB, input string, arguments ...string) string {
	t.Helper()
	output, err := c.try(input, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

func (c *cluster) get(t testing.TB, arguments ...string) object {
	t.Helper()
	var one object
	text := c.kubectl(t, "", append([]string{"get", "-o", "json"}, arguments...)...)
	if err := json.Unmarshal([]byte(text), &one); err != nil {
		t.Fatal(err)
	}
	return one
}

func (c *cluster) createNamespace(t testing.TB, name string) {
	t.Helper()
	if err := c.CreateNamespace(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}

// expectError fails unless there is one with that text.
func expectError(t testing.TB, err error, text string) {
	t.Helper()
	if err == nil {
		t.Errorf("expected a refusal with %q, got none", text)
	} else if !strings.Contains(err.Error(), text) {
		t.Errorf("expected a refusal with %q, got:\n%v", text, err)
	}
}
