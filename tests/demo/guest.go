package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The demonstration as a guest in a cluster that was there before. It takes nothing over: where anything that
// it would make is there already, it makes nothing. And it leaves nothing.

const (
	guestNamespace = "quay-rotator-demo"
	leaving        = time.Minute // the most that taking its things away may last
)

// belongings is what a guest makes, besides what goes with its namespaces.
var belongings = []string{
	"namespace/" + guestNamespace, "namespace/" + operatorName,
	"customresourcedefinition/robottokenrotations.quayrotator.dev", "customresourcedefinition/quayconnections.quayrotator.dev",
	"clusterrolebinding/" + operatorName + "." + operatorName, "clusterrole/" + operatorName + "." + operatorName,
}

// moveIn looks whether the place is free and makes the namespace of the resources.
func (s *story) moveIn(ctx context.Context) error {
	s.note("The cluster is %s.", s.cluster.APIServer)
	s.note("What stays on this machine, as a cluster elsewhere cannot reach it: the operator (with a token of its ServiceAccount),")
	s.note("the registry and Quay. So no pod pulls: skopeo does, with the Secrets that are in the cluster.")
	s.note("Everything is in the namespaces %s and %s, and goes away at the end with the definitions.", guestNamespace, operatorName)
	found, err := s.cluster.kubectl(ctx, "", append([]string{"get", "--ignore-not-found", "--output=name"}, belongings...)...)
	if err != nil {
		return err
	}
	if found != "" {
		return fmt.Errorf("the cluster has %s already. The demonstration would get in the way of an installation: "+
			"take another cluster, or remove what is left of an earlier demonstration", strings.Join(strings.Fields(found), ", "))
	}
	s.cluster.guest = true
	if err = s.cluster.CreateNamespace(ctx, guestNamespace); err != nil {
		return err
	}
	s.cluster.namespace = guestNamespace
	_, err = s.cluster.kubectl(ctx, "", "config", "set-context", "--current", "--namespace="+guestNamespace) // of our copy
	return err
}

// moveOut takes away what a guest has made, also after Ctrl-C.
func (s *story) moveOut() error {
	if !s.cluster.guest {
		return nil
	}
	s.cluster.guest = false
	ctx, cancel := context.WithTimeout(context.Background(), leaving)
	defer cancel()
	// Namespaces take their time, and where nothing empties them they stay: what is in ours goes by itself.
	_, contents := s.cluster.kubectl(ctx, "", "delete", "--namespace="+guestNamespace, "--ignore-not-found",
		"secret/quay-api", "secret/"+pullSecret, "secret/"+turnSecret, "configmap/quay-ca")
	_, remaining := s.cluster.kubectl(ctx, "", append([]string{"delete", "--ignore-not-found", "--wait=false"}, belongings...)...)
	return errors.Join(contents, remaining)
}
