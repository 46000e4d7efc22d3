//go:build !demo

package main

import (
	"os"

	"k8s.io/component-base/cli"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

// The demonstration has no use for it, and would wait for its compilation.
func init() {
	commands["kube-controller-manager"] = func() { os.Exit(cli.Run(controllermanager.NewControllerManagerCommand())) }
}
