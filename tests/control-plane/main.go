// control-plane is a Kubernetes control plane and node agent for tests: etcd, kube-apiserver,
// kube-controller-manager, kubelet and kubectl exactly as their projects release them, linked into one
// program because together they share most of their code, and a build of ordinary Go modules needs no
// download of binaries.
//
// The command is the first argument (`control-plane kubectl get pods`) or the name it is called by
// (a symbolic link named `kubectl`). Flags are those of the original programs.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	_ "time/tzdata" // CronJob time zones, as in the released kube-apiserver

	"go.etcd.io/etcd/server/v3/etcdmain"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // exec and OIDC credentials, as in the released kubectl
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

var commands = map[string]func(){
	"etcd":           func() { etcdmain.Main(os.Args) },
	"kube-apiserver": func() { os.Exit(cli.Run(apiserver.NewAPIServerCommand())) },
	"kubelet":        func() { os.Exit(cli.Run(kubelet.NewKubeletCommand(context.Background()))) },
	"kubectl":        kubectl,
}

func main() {
	run, found := commands[filepath.Base(os.Args[0])]
	if !found && len(os.Args) > 1 {
		run, found = commands[os.Args[1]]
		os.Args = os.Args[1:]
	}
	if !found {
		fmt.Fprintln(os.Stderr, "usage: control-plane etcd|kube-apiserver|kube-controller-manager|kubelet|kubectl [flags]")
		os.Exit(2)
	}
	run()
}

// kubectl is the main function of the released kubectl: the log level must be known before the
// command is made, and errors are printed kubectl's way.
func kubectl() {
	_, err := logs.GlogSetter(cmd.GetLogVerbosity(os.Args))
	util.CheckErr(err)
	util.CheckErr(cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()))
}
