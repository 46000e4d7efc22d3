package environment

import (
	"bytes"
	"context"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

//go:embed node.sh
var keeperScript []byte

// A node is a real one: a kubelet, containerd and runc, started by the keeper (node.sh). Pods need
// `nodeName` or a Binding, as there is no scheduler. Whether or not they ask for `hostNetwork`, which
// restricted namespaces refuse, they have the machine's network: see networkPlugin.
type node struct {
	name      string
	directory string
	bridge    string
	address   string
	group     string
	client    string // ctr
	keeper    *exec.Cmd
	leash     io.Closer // closing it ends the node
	ended     chan struct{}
}

// networkPlugin is a CNI plugin, told the node's address. Containers join whatever namespace is mounted at
// the place that containerd names: it becomes the machine's own.
const networkPlugin = `#!/bin/sh
case $CNI_COMMAND in
ADD) umount "$CNI_NETNS" && mount --bind /proc/self/ns/net "$CNI_NETNS" &&
  echo '{"cniVersion": "0.4.0", "interfaces": [{"name": "eth0", "sandbox": "'"$CNI_NETNS"'"}],
    "ips": [{"version": "4", "interface": 0, "address": "%s/32"}]}' ;;
VERSION) echo '{"cniVersion": "0.4.0", "supportedVersions": ["0.3.1", "0.4.0"]}' ;;
esac
`

// containerd asks for this one too, for the loopback that is up already.
const loopbackPlugin = `#!/bin/sh
case $CNI_COMMAND in
ADD) echo '{"cniVersion": "0.3.1", "interfaces": [{"name": "lo"}]}' ;;
VERSION) echo '{"cniVersion": "0.3.1", "supportedVersions": ["0.3.1", "0.4.0"]}' ;;
esac
`

const pauseImage = "localhost/pause:latest"

// newNode writes the configuration and starts the keeper, and with it containerd.
func newNode(directory, identifier string, programs programs, plane *controlPlane, registry *registry) (made *node, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("a node needs root")
	}
	if len(programs.kubelet) == 0 {
		return nil, errors.New("a node needs the kubelet of tests/control-plane (--bin-directory)")
	}
	for _, program := range []string{"containerd", "containerd-shim-runc-v2", "runc", "ip", "unshare", "setpriv", "mount"} {
		if _, err = find(program); err != nil {
			return nil, err
		}
	}
	made = &node{
		name:      "node-" + identifier,
		directory: directory,
		bridge:    bridgePrefix + identifier,
		group:     groupPrefix + identifier,
		ended:     make(chan struct{}),
	}
	if made.client, err = find("ctr"); err != nil {
		return nil, err
	}
	// 198.18.0.0/15 is set aside for tests of networks, so nobody's own addresses are in it.
	number, err := strconv.ParseUint(identifier, 16, 16)
	if err != nil {
		return nil, err
	}
	made.address = fmt.Sprintf("198.18.%d.%d", number>>8, number&0xff)

	if err = made.writeContainerd(registry); err != nil {
		return nil, err
	}
	kubelet, err := made.writeKubelet(programs, plane)
	if err != nil {
		return nil, err
	}
	script := made.path("node.sh")
	if err = os.WriteFile(script, keeperScript, 0o600); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(made.path("keeper.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	arguments := append([]string{script, directory, made.group, made.bridge, made.address}, kubelet...)
	made.keeper = exec.Command("/bin/sh", arguments...)
	made.keeper.Env = append(os.Environ(), "SSL_CERT_FILE="+registry.ca)
	made.keeper.Stdout, made.keeper.Stderr = log, log
	// A session of its own: neither Ctrl-C nor the end of the terminal may reach the one who cleans up.
	made.keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if made.leash, err = made.keeper.StdinPipe(); err != nil {
		return nil, err
	}
	if err = made.keeper.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = made.keeper.Wait() // its status is in what it leaves behind, which stop looks at
		close(made.ended)
	}()
	return made, nil
}

func (n *node) path(name string) string { return filepath.Join(n.directory, name) }

func (n *node) writeContainerd(registry *registry) error {
	hosts := n.path("hosts/" + registry.host)
	network := n.path("network")
	for _, directory := range []string{hosts, network} {
		if err := os.MkdirAll(directory, 0o700); err != nil {
			return err
		}
	}
	files := map[string]string{
		filepath.Join(hosts, "hosts.toml"): fmt.Sprintf("server = %q\n[host.%q]\ncapabilities = [\"pull\", \"resolve\"]\nca = %q\n",
			"https://"+registry.host, "https://"+registry.host, registry.ca),
		filepath.Join(network, "machine.conflist"): `{"cniVersion": "0.4.0", "name": "machine", "plugins": [{"type": "machine"}]}`,
		n.path("containerd.toml"): fmt.Sprintf(`version = 2
root = %q
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
address = %q
[plugins."io.containerd.internal.v1.opt"]
path = %q
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = %q
restrict_oom_score_adj = true
disable_cgroup = true # no limits; and containers get their groups near containerd's own
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = %q
[plugins."io.containerd.grpc.v1.cri".cni]
conf_dir = %q
bin_dir = %q
`, n.path("containerd"), n.socket(), n.path("opt"), pauseImage, n.path("hosts"), network, network),
	}
	for file, content := range files {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			return err
		}
	}
	plugins := map[string]string{"machine": fmt.Sprintf(networkPlugin, n.address), "loopback": loopbackPlugin}
	for name, script := range plugins {
		if err := os.WriteFile(filepath.Join(network, name), []byte(script), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// subject is the one by which the API server's node authorizer knows a kubelet.
func (n *node) subject() pkix.Name {
	return pkix.Name{CommonName: "system:node:" + n.name, Organization: []string{"system:nodes"}}
}

func (n *node) socket() string { return n.path("containerd.sock") }

// writeKubelet answers the kubelet's command line.
func (n *node) writeKubelet(programs programs, plane *controlPlane) ([]string, error) {
	user := map[string]any{}
	certificate, key, err := plane.authority.issue(n.subject())
	if err != nil {
		return nil, err
	}
	user["client-certificate-data"], user["client-key-data"] = certificate, key
	if err = plane.api.writeKubeconfig(n.path("kubeconfig"), "default", user); err != nil {
		return nil, err
	}
	serving, servingKey, err := plane.authority.issueTo(n.directory, "kubelet", n.subject(), n.name, n.address)
	if err != nil {
		return nil, err
	}
	configuration, err := json.Marshal(map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1",
		"kind":       "KubeletConfiguration",
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": false},
			"x509":      map[string]any{"clientCAFile": plane.ca},
		},
		"authorization":     map[string]any{"mode": "AlwaysAllow"}, // whoever has a certificate of ours
		"address":           n.address,                             // its own, so the usual port is free
		"healthzPort":       0,
		"tlsCertFile":       serving,
		"tlsPrivateKeyFile": servingKey,

		"containerRuntimeEndpoint": "unix://" + n.socket(),
		"podLogsDir":               n.path("logs"),
		"volumePluginDir":          n.path("volume-plugins"),
		"resolvConf":               "",
		"oomScoreAdj":              0,

		// No control groups beyond those of the containers, on cgroup v1 and v2.
		"failCgroupV1":                  false,
		"cgroupDriver":                  "cgroupfs",
		"cgroupsPerQOS":                 false,
		"enforceNodeAllocatable":        []string{},
		"failSwapOn":                    false,
		"localStorageCapacityIsolation": false,

		// A full disk of the developer must not evict the pods of a test.
		"imageGCHighThresholdPercent": 100,
		"evictionHard": map[string]string{
			"memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%",
		},
	})
	if err != nil {
		return nil, err
	}
	file := n.path("kubelet.yaml")
	if err = os.WriteFile(file, configuration, 0o600); err != nil {
		return nil, err
	}
	return append(programs.kubelet, "--config="+file, "--kubeconfig="+n.path("kubeconfig"),
		"--root-dir="+n.path("kubelet"), "--hostname-override="+n.name, "--node-ip="+n.address), nil
}

// importPause waits for containerd and gives it the pause image, without which no pod starts.
func (n *node) importPause(ctx context.Context, image *image) error {
	archive, err := image.archive(pauseImage)
	if err != nil {
		return err
	}
	file := n.path("pause.tar")
	if err = os.WriteFile(file, archive, 0o600); err != nil {
		return err
	}
	return n.until(ctx, "containerd", func() error {
		if _, err := os.Stat(n.socket()); err != nil {
			return err
		}
		command := exec.CommandContext(ctx, n.client, "--address", n.socket(), "--namespace", "k8s.io",
			"images", "import", "--snapshotter", "native", file)
		if output, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("importing the pause image: %w: %s", err, bytes.TrimSpace(output))
		}
		return nil
	})
}

// startKubelet lets the kubelet start and waits until the API server calls the node Ready.
func (n *node) startKubelet(ctx context.Context, api *api) error {
	if err := os.WriteFile(n.path("start"), nil, 0o600); err != nil {
		return err
	}
	return n.until(ctx, "kubelet", func() error {
		var object struct {
			Status struct {
				Conditions []struct{ Type, Status, Message string }
			}
		}
		if err := api.get(ctx, "/api/v1/nodes/"+n.name, &object); err != nil {
			return err
		}
		for _, condition := range object.Status.Conditions {
			if condition.Type == "Ready" && condition.Status == "True" {
				return nil
			}
			if condition.Type == "Ready" {
				return fmt.Errorf("the node is not ready: %s", condition.Message)
			}
		}
		return errors.New("the node has no status yet")
	})
}

// until asks again and again whether containerd or kubelet is ready, and gives up when one of them
// has ended.
func (n *node) until(ctx context.Context, what string, done func() error) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		err := done()
		if err == nil {
			return nil
		}
		if ended, readErr := os.ReadFile(n.path("ended")); readErr == nil {
			name, status, _ := strings.Cut(strings.TrimSpace(string(ended)), " ")
			return fmt.Errorf("%s ended with status %s\n%s", name, status, tail(n.path(name+".log")))
		}
		select {
		case <-n.ended:
			return fmt.Errorf("the node's keeper ended\n%s", tail(n.path("keeper.log")))
		case <-ctx.Done():
			return fmt.Errorf("%s did not become ready: %w\n%s", what, err, tail(n.path(what+".log")))
		case <-time.After(pollInterval):
		}
	}
}

// stop ends the node and waits until nothing of it is left.
func (n *node) stop() error {
	_ = n.leash.Close()
	<-n.ended
	if !n.keeper.ProcessState.Success() {
		return fmt.Errorf("the node was not cleaned up whole: %s\n%s", n.keeper.ProcessState, tail(n.path("keeper.log")))
	}
	return nil
}
