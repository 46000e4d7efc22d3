package chart

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	lua "github.com/yuin/gopher-lua"
	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"quayrotator.dev/tests/environment/environmenttest"
)

var argo = filepath.Join(root, customizations)

// runLua runs a script as Argo CD does: on gopher-lua, with few of Lua's own libraries and of `os` what
// tells the time, and the resource as obj. What it returns.
func runLua(t *testing.T, script string, resource object) any {
	t.Helper()
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
		if err = state.CallByParam(lua.P{Fn: state.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			t.Fatal(err)
		}
	}
	state.PreloadModule(lua.OsLibName, func(state *lua.LState) int {
		state.Push(state.SetFuncs(state.NewTable(), map[string]lua.LGFunction{"date": func(state *lua.LState) int {
			if state.CheckString(1) != "!%Y-%m-%dT%XZ" {
				state.RaiseError("a format that this test does not know")
			}
			state.Push(lua.LString(time.Now().UTC().Format("2006-01-02T15:04:05Z")))
			return 1
		}}))
		return 1
	})
	state.SetGlobal("obj", toLua(state, resource))
	if err = state.DoString(string(text)); err != nil {
		t.Fatal(err)
	}
	return fromLua(state.Get(-1))
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case object:
		table := state.NewTable()
		for key, one := range value {
			table.RawSetString(key, toLua(state, one))
		}
		return table
	case []any:
		table := state.NewTable()
		for _, one := range value {
			table.Append(toLua(state, one))
		}
		return table
	case string:
		return lua.LString(value)
	case bool:
		return lua.LBool(value)
	case int:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	}
	return lua.LNil
}

func fromLua(value lua.LValue) any {
	switch value := value.(type) {
	case *lua.LTable:
		if value.Len() > 0 {
			var list []any
			value.ForEach(func(_, one lua.LValue) { list = append(list, fromLua(one)) })
			return list
		}
		fields := object{}
		value.ForEach(func(key, one lua.LValue) { fields[key.String()] = fromLua(one) })
		return fields
	case lua.LString:
		return string(value)
	case lua.LBool:
		return bool(value)
	case lua.LNumber:
		return int(value)
	}
	return nil
}

func load(t *testing.T, into any, path ...string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err == nil {
		err = yaml.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// kstatus is what Flux and helm --wait see.
func kstatus(t *testing.T, resource object) string {
	t.Helper()
	result, err := status.Compute(&unstructured.Unstructured{Object: jsonOf(resource)})
	if err != nil {
		t.Fatal(err)
	}
	return result.Status.String()
}

// jsonOf has the integers that Kubernetes' libraries expect.
func jsonOf(value object) object {
	copied := object{}
	for key, one := range value {
		copied[key] = jsonValue(one)
	}
	return copied
}

func jsonValue(value any) any {
	switch value := value.(type) {
	case object:
		return jsonOf(value)
	case []any:
		var list []any
		for _, one := range value {
			list = append(list, jsonValue(one))
		}
		return list
	case int:
		return int64(value)
	case float64:
		return int64(value)
	}
	return value
}

// Argo CD's words for what kstatus says, by the state in testdata/.
var sameInKstatus = map[string]string{
	"new": "InProgress", "healthy": "Current", "changed": "InProgress", "rotating": "InProgress", "suspended": "Current",
	"suspended-from-the-start": "InProgress", "retrying": "InProgress", "failing": "InProgress", "stalled": "Failed", "degraded": "InProgress",
}

func TestHealthForArgoCD(t *testing.T) {
	for _, kind := range []string{"RobotTokenRotation", "QuayConnection"} {
		var all struct {
			Tests []struct {
				HealthStatus object `yaml:"healthStatus"`
				InputPath    string `yaml:"inputPath"`
			}
		}
		load(t, &all, argo, kind, "health_test.yaml")
		files, err := filepath.Glob(filepath.Join(argo, kind, "testdata/*"))
		if err != nil || len(files) != len(all.Tests) {
			t.Errorf("%s: %d files, %d tests, %v", kind, len(files), len(all.Tests), err)
		}
		for _, one := range all.Tests {
			var resource object
			load(t, &resource, argo, kind, one.InputPath)
			if health := runLua(t, filepath.Join(argo, kind, "health.lua"), resource); !reflect.DeepEqual(health, one.HealthStatus) {
				t.Errorf("%s %s: expected %v, got %v", kind, one.InputPath, one.HealthStatus, health)
			}
			state := strings.TrimSuffix(filepath.Base(one.InputPath), ".yaml")
			if found := kstatus(t, resource); found != sameInKstatus[state] {
				t.Errorf("%s %s: expected kstatus %s, got %s", kind, state, sameInKstatus[state], found)
			}
		}
	}
}

func TestActionForArgoCD(t *testing.T) {
	directory := filepath.Join(argo, "RobotTokenRotation/actions")
	var all struct {
		DiscoveryTests []struct {
			InputPath string `yaml:"inputPath"`
			Result    []struct {
				Name     string
				Disabled bool
			}
		} `yaml:"discoveryTests"`
		ActionTests []struct {
			Action             string
			InputPath          string `yaml:"inputPath"`
			ExpectedOutputPath string `yaml:"expectedOutputPath"`
		} `yaml:"actionTests"`
	}
	load(t, &all, directory, "action_test.yaml")
	for _, one := range all.DiscoveryTests {
		var resource object
		load(t, &resource, directory, one.InputPath)
		expected := object{}
		for _, action := range one.Result {
			expected[action.Name] = object{"disabled": action.Disabled}
		}
		if found := runLua(t, filepath.Join(directory, "discovery.lua"), resource); !reflect.DeepEqual(found, expected) {
			t.Errorf("%s: expected %v, got %v", one.InputPath, expected, found)
		}
	}
	for _, one := range all.ActionTests {
		var resource, expected object
		load(t, &resource, directory, one.InputPath)
		load(t, &expected, directory, one.ExpectedOutputPath)
		found, _ := runLua(t, filepath.Join(directory, one.Action, "action.lua"), resource).(object)
		annotations, _ := at(found, "metadata", "annotations").(object)
		const key = "quayrotator.dev/rotate-requested-at"
		if _, err := time.Parse(time.RFC3339, fmt.Sprint(annotations[key])); err != nil {
			t.Error(err)
		}
		annotations[key] = at(expected, "metadata", "annotations", key)
		if !reflect.DeepEqual(found, expected) {
			t.Errorf("%s: expected\n%s\ngot\n%s", one.InputPath, toJSON(t, expected), toJSON(t, found))
		}
	}
}

// What the operator writes, as GitOps controllers see it; and none of them sees a difference for ever.
func TestGitOpsOfALiveTeam(t *testing.T) {
	t.Parallel()
	cluster := bringUp(t)
	defer func() {
		if err := cluster.Down(); err != nil {
			t.Error(err)
		}
	}()
	// As Argo CD does it.
	render := func() string {
		return helms()[0].do(t, "template", "quay-rotator", chartDirectory, "--namespace", namespace, "--kube-version", "1.36.0")
	}
	apply := func(manifest string) {
		t.Helper()
		// What names no namespace is the team's.
		manifest = strings.ReplaceAll(manifest, "kind: QuayConnection\nmetadata:\n", "kind: QuayConnection\nmetadata:\n  namespace: team\n")
		manifest = strings.ReplaceAll(manifest, "kind: RobotTokenRotation\nmetadata:\n", "kind: RobotTokenRotation\nmetadata:\n  namespace: team\n")
		cluster.kubectl(t, manifest, "apply", "--server-side", "--field-manager=argocd-controller", "-f", "-")
	}
	cluster.createNamespace(t, namespace)
	cluster.createNamespace(t, "team")
	// A definition is only known a moment after it was made.
	apply(render())
	cluster.kubectl(t, "", "wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
	running := cluster.startOperator(t, "quay-rotator")
	var token struct{ Token string }
	environmenttest.Call(t, cluster.QuayControlSocket, "GET", "/tokens/automation", nil, &token)
	cluster.kubectl(t, "", "-n", "team", "create", "secret", "generic", "quay-api", "--from-literal=token="+token.Token)
	cluster.kubectl(t, "", "-n", "team", "create", "configmap", "quay-ca", "--from-file=ca.crt="+cluster.QuayCAFile)
	for _, robot := range []string{"acme+puller", "acme+builder", "admin+laptop"} {
		environmenttest.Call(t, cluster.QuayControlSocket, "PUT", "/robots/"+robot, object{}, nil)
	}
	var examples []string
	for _, name := range []string{"connection", "rotation", "rotation-full", "rotation-user-robot"} {
		text := readFile(t, "docs/examples/"+name+".yaml")
		if name == "connection" {
			text = strings.Replace(text, "https://quay.example.com", cluster.QuayURL, 1) + "  ca: {configMapRef: {name: quay-ca}}\n"
		}
		examples = append(examples, text)
	}
	running.stop(t)
	for _, text := range examples {
		apply(text)
	}
	// Nobody may take what the operator has not seen for what is as it should be.
	if found := kstatus(t, cluster.rotation(t, "puller")); found != "InProgress" {
		t.Errorf("a resource that is new is %s", found)
	}
	running = cluster.startOperator(t, "quay-rotator")
	cluster.waitUntilReady(t, "puller")
	cluster.waitUntilReady(t, "laptop")
	environmenttest.Eventually(t, func() error { // its initial: Rotate
		if builder := cluster.rotation(t, "builder"); at(builder, "status", "lastRotationTime") == nil || at(builder, "status", "rotation") != nil ||
			at(builder, "metadata", "annotations", "quayrotator.dev/initialized-at") == nil {
			return fmt.Errorf("builder: Ready is %s", readiness(builder))
		}
		return nil
	})
	cluster.waitUntilReady(t, "builder")
	running.stop(t) // or its looks would be versions of the resources, too

	versions := func() map[string]string {
		all := map[string]string{}
		for _, kind := range []string{"crd", "qc,rtr,secret,configmap", "validatingadmissionpolicy,validatingadmissionpolicybinding,clusterrole,clusterrolebinding"} {
			items, _ := cluster.get(t, "-n", "team", kind)["items"].([]any)
			for _, one := range items {
				found, _ := one.(object)
				all[nameOf(found)] = fmt.Sprint(at(found, "metadata", "resourceVersion"))
			}
		}
		items, _ := cluster.get(t, "-n", namespace, "deploy,service,serviceaccount,role,rolebinding,pdb")["items"].([]any)
		for _, one := range items {
			found, _ := one.(object)
			all[nameOf(found)] = fmt.Sprint(at(found, "metadata", "resourceVersion"))
		}
		return all
	}
	before := versions()
	for _, text := range append(examples, render()) {
		apply(text)
	}
	if after := versions(); !reflect.DeepEqual(before, after) {
		t.Errorf("applied anew, this differs:\n%s\n%s", toJSON(t, before), toJSON(t, after))
	}

	for _, name := range []string{"puller", "builder", "laptop"} {
		one := cluster.rotation(t, name)
		health, _ := runLua(t, filepath.Join(argo, "RobotTokenRotation/health.lua"), one).(object)
		if found := kstatus(t, one); found != "Current" || health["status"] != "Healthy" {
			t.Errorf("%s is %s for Flux and %v for Argo CD", name, found, health)
		}
	}
	var connection object
	if err := cluster.Call(t.Context(), "GET", "/apis/quayrotator.dev/v1alpha1/namespaces/team/quayconnections/quay", nil, &connection); err != nil {
		t.Fatal(err)
	}
	health, _ := runLua(t, filepath.Join(argo, "QuayConnection/health.lua"), connection).(object)
	if found := kstatus(t, connection); found != "Current" || health["status"] != "Healthy" {
		t.Errorf("the connection is %s for Flux and %v for Argo CD", found, health)
	}

	// Renamed in Git, as docs/gitops.md says: the new one comes, then the old one is pruned.
	cluster.kubectl(t, "", "-n", "team", "annotate", "secret", "quay-pull", "quayrotator.dev/allow-take-over-by=renamed")
	uid := at(cluster.get(t, "-n", "team", "secret", "quay-pull"), "metadata", "uid")
	running = cluster.startOperator(t, "quay-rotator")
	apply(strings.Replace(examples[1], "name: puller\nspec", "name: renamed\nspec", 1))
	environmenttest.Eventually(t, func() error {
		one := cluster.rotation(t, "renamed")
		health, _ := runLua(t, filepath.Join(argo, "RobotTokenRotation/health.lua"), one).(object)
		if found := kstatus(t, one); found != "Failed" || health["status"] != "Degraded" {
			return fmt.Errorf("beside the old one it is %s and %v", found, health)
		}
		return nil
	})
	cluster.kubectl(t, "", "-n", "team", "delete", "rtr", "puller")
	cluster.waitUntilReady(t, "renamed")
	secret := cluster.get(t, "-n", "team", "secret", "quay-pull")
	if at(secret, "metadata", "uid") != uid || at(secret, "metadata", "annotations", "quayrotator.dev/rotation") != "team/renamed" {
		t.Errorf("the Secret has not changed hands: %s", toJSON(t, secret["metadata"]))
	}
	var robot struct{ Regenerations int }
	if environmenttest.Call(t, cluster.QuayControlSocket, "GET", "/robots/acme+puller", nil, &robot); robot.Regenerations != 0 {
		t.Errorf("renaming cost %d regenerations", robot.Regenerations)
	}
	running.stop(t)
}
