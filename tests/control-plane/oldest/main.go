// kube-apiserver of the oldest Kubernetes that the chart supports, as its project releases it. A module
// of its own, as it needs the libraries of its time; etcd and kubectl are those of the module above.
package main

import (
	"os"
	_ "time/tzdata" // CronJob time zones, as in the released kube-apiserver

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() { os.Exit(cli.Run(app.NewAPIServerCommand())) }
