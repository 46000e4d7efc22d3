// Package environment brings up everything real that the tests and the demonstration need, on one
// machine, in one directory: etcd and kube-apiserver, quay-sim in front of a docker-registry with an
// image in it, and on request a node that runs pods. Any number of environments run side by side.
//
// Everything listens on loopback, on ports that the kernel chose; keys and certificates are made
// anew each time. Nothing stays behind after Down, nor after the death of the process by any signal,
// but for the directory itself (and see Clean).
package environment

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Options says what to bring up. Only BinDirectory and QuaySim must be given.
type Options struct {
	// Directory holds all files. It must be empty, absent (then Down removes it) or left behind by a
	// dead environment. Empty: a new temporary one. Its path must be short, as unix sockets are in it.
	Directory string
	// BinDirectory is what tests/control-plane/build.sh prints. etcd, kube-apiserver and kubectl are
	// taken from $KUBEBUILDER_ASSETS instead when that is set.
	BinDirectory string
	// APIServer is a kube-apiserver to run instead, of another version.
	APIServer string
	// Kubeconfig, when not empty, names a cluster that exists already: nothing of Kubernetes is started, and
	// there can be no node. Registry and Quay are on loopback all the same. It needs a kubectl on the PATH.
	Kubeconfig string
	// QuaySim is the program of tests/quay-sim.
	QuaySim string
	// Node asks for a node. An environment comes up even if the node cannot: see NodeDescription.
	Node bool
	// DurableEtcd makes etcd wait for the disk. Without it data survives a killed etcd, not a killed
	// machine.
	DurableEtcd bool
	// EtcdQuota is the size in bytes above which etcd raises its alarm NOSPACE; 0: etcd's own.
	EtcdQuota int64
	// Progress is told of each step in one line; may be nil. Called by several goroutines, one at a
	// time.
	Progress func(line string)
	// Unexpected is told when a program ends that should not have; nil prints to standard error.
	Unexpected func(error)
}

// Description is what environment.json holds. Paths are absolute.
type Description struct {
	Directory         string          `json:"directory"`
	ControlSocket     string          `json:"controlSocket"` // of this environment, see control.go
	APIServer         string          `json:"apiServer"`     // URL
	Etcd              string          `json:"etcd"`          // URL, also of its JSON gateway
	CAFile            string          `json:"caFile"`        // of the API server
	AdminKubeconfig   string          `json:"adminKubeconfig"`
	Kubectl           string          `json:"kubectl"`
	AuditLog          string          `json:"auditLog"`   // one JSON line for each request
	QuayURL           string          `json:"quayURL"`    // https://localhost:PORT
	QuayCAFile        string          `json:"quayCAFile"` // alone in its directory
	QuayControlSocket string          `json:"quayControlSocket"`
	RegistryHost      string          `json:"registryHost"` // localhost:PORT, as images name it
	Image             string          `json:"image"`        // a private image: prints a line, waits for SIGTERM
	Node              NodeDescription `json:"node"`
	// ControllerManager is whether kube-controller-manager can be started.
	ControllerManager Availability `json:"controllerManager"`
}

// Availability has a reason if it is not.
type Availability struct {
	Available bool   `json:"available"`
	Reason    string `json:"reason"`
}

// NodeDescription tells whether there is a node, and if not why. Without an environment asking for
// one the reason says that.
type NodeDescription struct {
	Available bool   `json:"available"`
	Reason    string `json:"reason"`
	Name      string `json:"name"`
}

// An Environment is up until Down. Safe for use by several goroutines.
type Environment struct {
	Description
	plane      *controlPlane
	registry   *registry
	node       *node
	image      *image
	control    *http.Server
	lock       *os.File
	progress   func(string)
	unexpected func(error)
	created    bool // the directory, by us
	mutex      sync.Mutex
}

const appImage = "acme/app:latest"

// Up returns when everything is ready; on an error nothing is left. The environment does not depend
// on the context any more once it is up.
func Up(ctx context.Context, options Options) (up *Environment, err error) {
	began := time.Now()
	made := &Environment{unexpected: options.Unexpected}
	if made.unexpected == nil {
		made.unexpected = func(err error) { fmt.Fprintln(os.Stderr, err) }
	}
	made.progress = func(line string) {
		made.mutex.Lock()
		defer made.mutex.Unlock()
		if options.Progress != nil {
			options.Progress(line)
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, made.Down())
		}
	}()
	programs, err := findPrograms(options)
	if err != nil {
		return nil, err
	}
	identifier, err := made.claim(options.Directory)
	if err != nil {
		return nil, err
	}
	if options.Kubeconfig != "" {
		made.plane, err = newExisting(made.path("kubernetes"), programs.kubectl, options.Kubeconfig, made.path("kubeconfig"))
	} else {
		made.plane, err = newControlPlane(made.path("kubernetes"), programs, options)
	}
	if err != nil {
		return nil, err
	}
	if made.registry, err = newRegistry(made.path("quay"), options.QuaySim); err != nil {
		return nil, err
	}
	for _, process := range made.processes() {
		process.unexpected = func(_ string, err error) { made.unexpected(err) }
	}
	made.Description = Description{
		Directory:         made.Directory,
		ControlSocket:     made.path("control.sock"),
		APIServer:         made.plane.api.server,
		Etcd:              "http://" + made.plane.etcdPort.address(),
		CAFile:            made.plane.ca,
		AdminKubeconfig:   made.path("kubeconfig"),
		Kubectl:           programs.kubectl,
		AuditLog:          made.plane.audit,
		QuayURL:           "https://" + made.registry.host,
		QuayCAFile:        made.registry.ca,
		QuayControlSocket: made.registry.control,
		RegistryHost:      made.registry.host,
		Image:             made.registry.host + "/" + appImage,
		Node:              NodeDescription{Reason: "none was asked for"},
		ControllerManager: Availability{Available: true},
	}
	if options.Kubeconfig != "" {
		made.APIServer, made.Etcd = fmt.Sprint(made.plane.api.cluster["server"]), ""
		made.ControllerManager = Availability{Reason: "it is the cluster's own"}
	} else if made.plane.controllerManager == nil {
		made.ControllerManager = Availability{Reason: "it is in the programs of tests/control-plane only (--bin-directory)"}
	}
	if err = made.bringUp(ctx, options.Node, identifier, programs); err != nil {
		return nil, err
	}
	if err = made.serve(); err != nil {
		return nil, err
	}
	content, err := json.MarshalIndent(made.Description, "", "  ")
	if err != nil {
		return nil, err
	}
	// Who waits for the file must never see half of it.
	temporary := made.path(".environment.json")
	if err = os.WriteFile(temporary, append(content, '\n'), 0o600); err != nil {
		return nil, err
	}
	if err = os.Rename(temporary, made.path("environment.json")); err != nil {
		return nil, err
	}
	made.progress(fmt.Sprintf("environment ready in %.1f s: %s", time.Since(began).Seconds(), made.path("environment.json")))
	return made, nil
}

// bringUp starts everything, side by side where nothing has to wait for something else.
func (e *Environment) bringUp(ctx context.Context, wantNode bool, identifier string, programs programs) error {
	planeReady, imageReady := make(chan struct{}), make(chan struct{})
	return parallel(ctx,
		func(ctx context.Context) error {
			if e.plane.proxy != nil {
				defer close(planeReady)
				return e.step("cluster", func() error { return e.plane.proxy.start(ctx) })
			}
			if err := e.step("etcd", func() error { return e.plane.etcd.start(ctx) }); err != nil {
				return err
			}
			if err := e.step("kube-apiserver", func() error { return e.plane.apiserver.start(ctx) }); err != nil {
				return err
			}
			if err := e.plane.createNamespace(ctx, "default"); err != nil {
				return err
			}
			close(planeReady)
			return e.plane.api.writeAdminKubeconfig(e.AdminKubeconfig)
		},
		func(ctx context.Context) (err error) {
			err = e.step("image", func() error {
				e.image, err = buildImage(ctx, e.path("image"))
				return err
			})
			if err == nil {
				close(imageReady)
			}
			return err
		},
		func(ctx context.Context) error {
			err := e.step("docker-registry", func() error { return e.registry.storage.start(ctx) })
			if err != nil || !wait(ctx, imageReady) {
				return err
			}
			return e.step("image in the registry", func() error { return e.registry.push(ctx, e.image, appImage) })
		},
		func(ctx context.Context) error {
			return e.step("quay-sim", func() error { return e.registry.quay.start(ctx) })
		},
		func(ctx context.Context) error {
			if wantNode {
				e.bringUpNode(ctx, identifier, programs, planeReady, imageReady)
			}
			return nil
		})
}

// bringUpNode never fails: what is wrong is in the description.
func (e *Environment) bringUpNode(ctx context.Context, identifier string, programs programs, planeReady, imageReady <-chan struct{}) {
	var made *node
	err := e.step("containerd", func() (err error) {
		if made, err = newNode(e.path("node"), identifier, programs, e.plane, e.registry); err == nil && wait(ctx, imageReady) {
			err = made.importPause(ctx, e.image)
		}
		return err
	})
	if err == nil && wait(ctx, planeReady) {
		err = e.step("node "+made.name, func() error { return made.startKubelet(ctx, e.plane.api) })
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		e.node = made
		e.Node = NodeDescription{Available: true, Name: made.name}
		return
	}
	if made != nil {
		err = errors.Join(err, made.stop())
	}
	e.Node.Reason = err.Error()
	e.progress("no node: " + e.Node.Reason)
}

// step reports how long something took that went well.
func (e *Environment) step(name string, do func() error) error {
	began := time.Now()
	err := do()
	if err == nil {
		e.progress(fmt.Sprintf("%s ready in %.1f s", name, time.Since(began).Seconds()))
	}
	return err
}

// Down ends everything and removes what the environment made. It may be called again.
func (e *Environment) Down() error {
	var failures []error
	if e.control != nil {
		failures = append(failures, e.control.Close())
		e.control = nil
	}
	if e.node != nil {
		failures = append(failures, e.node.stop())
		e.node = nil
	}
	var group sync.WaitGroup
	for _, process := range e.processes() {
		// Nothing here is kept, so nothing needs an orderly end.
		group.Go(func() { process.stop(syscall.SIGKILL) })
	}
	group.Wait()
	if e.plane != nil {
		if e.plane.proxy == nil {
			for _, port := range []port{e.plane.etcdPort, e.plane.peerPort, e.plane.securePort} {
				port.release()
			}
		}
		e.plane = nil
	}
	if e.registry != nil {
		e.registry.httpPort.release()
		e.registry.quayPort.release()
		e.registry = nil
	}
	if e.lock != nil {
		failures = append(failures, empty(e.Directory, e.created), e.lock.Close())
		e.lock = nil
	}
	return errors.Join(failures...)
}

func (e *Environment) processes() map[string]*process {
	all := map[string]*process{}
	if e.plane != nil && e.plane.proxy != nil {
		all["kubectl-proxy"] = e.plane.proxy
	} else if e.plane != nil {
		all["etcd"], all["kube-apiserver"] = e.plane.etcd, e.plane.apiserver
		if e.plane.controllerManager != nil {
			all["kube-controller-manager"] = e.plane.controllerManager
		}
	}
	if e.registry != nil {
		all["docker-registry"], all["quay-sim"] = e.registry.storage, e.registry.quay
	}
	return all
}

// Stop ends one of etcd, kube-apiserver, kube-controller-manager, docker-registry and quay-sim with
// SIGTERM, or with SIGKILL.
func (e *Environment) Stop(name string, signal syscall.Signal) error {
	process, found := e.processes()[name]
	if !found {
		return fmt.Errorf("no process is named %q", name)
	}
	process.stop(signal)
	return nil
}

// Start starts it again, on the same port, and returns when it is ready. kube-controller-manager runs
// only from its first Start on: few need it, and of resource definitions that are installed after its
// start it hears only half a minute later, or more.
func (e *Environment) Start(ctx context.Context, name string) error {
	process, found := e.processes()[name]
	if !found {
		return fmt.Errorf("no process is named %q", name)
	}
	return process.start(ctx)
}

// Kubeconfig writes a kubeconfig with a token of the ServiceAccount, which must exist, and answers
// its path.
func (e *Environment) Kubeconfig(ctx context.Context, namespace, serviceAccount string) (string, error) {
	file := e.path("kubeconfig-" + namespace + "-" + serviceAccount)
	return file, e.plane.api.writeServiceAccountKubeconfig(ctx, file, namespace, serviceAccount)
}

// Call asks the API server as its administrator: object, when not nil, is sent as JSON, the answer goes
// into `into`, when that is not nil.
func (e *Environment) Call(ctx context.Context, method, path string, object, into any) error {
	return e.plane.api.call(ctx, method, path, object, into)
}

// CreateNamespace makes a namespace in which pods can start: with the ServiceAccount `default` and
// the ConfigMap that pods mount, which a controller-manager would add.
func (e *Environment) CreateNamespace(ctx context.Context, name string) error {
	return e.plane.createNamespace(ctx, name)
}

// PushImage stores the image of the Description once more, as name (`alice/app:latest`).
func (e *Environment) PushImage(ctx context.Context, name string) error {
	return e.registry.push(ctx, e.image, name)
}

func (e *Environment) path(name string) string { return filepath.Join(e.Directory, name) }

// claim takes the directory for ourselves and answers a short name that no other environment of the
// machine has.
func (e *Environment) claim(directory string) (identifier string, err error) {
	if directory == "" {
		if directory, err = os.MkdirTemp("", "environment-"); err != nil {
			return "", err
		}
		e.created = true
	}
	if directory, err = filepath.Abs(directory); err != nil {
		return "", err
	}
	// The longest path of a socket below it, of at most 107 bytes.
	if len(directory) > 80 {
		return "", fmt.Errorf("the path %s is too long: 80 bytes at most, as unix sockets are in it", directory)
	}
	if _, err = os.Stat(filepath.Join(directory, identifierFile)); err == nil {
		if err = Clean(directory); err != nil {
			return "", err
		}
	}
	if _, err = os.Stat(directory); errors.Is(err, os.ErrNotExist) {
		e.created = true
		err = os.MkdirAll(directory, 0o700)
	}
	if err != nil {
		return "", err
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		return "", err
	}
	if len(entries) != 0 {
		return "", fmt.Errorf("%s is neither empty nor of an environment", directory)
	}
	e.Directory = directory
	random := make([]byte, 2)
	for {
		_, _ = rand.Read(random) // never fails
		identifier = hex.EncodeToString(random)
		if _, err = net.InterfaceByName(bridgePrefix + identifier); err != nil {
			break
		}
	}
	if err = os.WriteFile(e.path(identifierFile), []byte(identifier), 0o600); err != nil {
		return "", err
	}
	e.lock, err = lock(directory)
	return identifier, err
}

// programs are the command lines, without arguments, of what is not in Debian.
type programs struct {
	etcd, apiserver, controllerManager, kubelet []string
	kubectl                                     string
}

func findPrograms(options Options) (programs, error) {
	found := programs{}
	if options.Kubeconfig != "" {
		kubectl, err := existingKubectl()
		if err != nil {
			return found, err
		}
		found.kubectl = kubectl
		_, err = exec.LookPath(options.QuaySim)
		return found, err
	}
	if options.BinDirectory != "" {
		directory, err := filepath.Abs(options.BinDirectory)
		if err != nil {
			return found, err
		}
		program := filepath.Join(directory, "control-plane")
		found.etcd = []string{program, "etcd"}
		found.apiserver = []string{program, "kube-apiserver"}
		found.controllerManager = []string{program, "kube-controller-manager"}
		found.kubelet = []string{program, "kubelet"}
		found.kubectl = filepath.Join(directory, "kubectl")
	}
	if assets := os.Getenv("KUBEBUILDER_ASSETS"); assets != "" {
		found.etcd = []string{filepath.Join(assets, "etcd")}
		found.apiserver = []string{filepath.Join(assets, "kube-apiserver")}
		found.kubectl = filepath.Join(assets, "kubectl")
	}
	if options.APIServer != "" {
		found.apiserver = []string{options.APIServer}
	}
	if found.kubectl == "" {
		return found, errors.New("no control plane: give what tests/control-plane/build.sh prints, or set KUBEBUILDER_ASSETS")
	}
	for _, program := range []string{found.etcd[0], found.apiserver[0], found.kubectl, options.QuaySim} {
		if _, err := exec.LookPath(program); err != nil {
			return found, err
		}
	}
	return found, nil
}

// parallel runs all, cancels the others when one fails, and answers the first error.
func parallel(ctx context.Context, all ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for _, do := range all {
		group.Go(func() {
			if err := do(ctx); err != nil {
				cancel(err)
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// wait answers false when the context ended first.
func wait(ctx context.Context, ready <-chan struct{}) bool {
	select {
	case <-ready:
		return true
	case <-ctx.Done():
		return false
	}
}
