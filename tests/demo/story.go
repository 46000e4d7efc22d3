package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A story is the demonstration from its beginning to its end. Only the main goroutine tells it.
type story struct {
	*terminal
	root     string // the repository
	cluster  *cluster
	quay     *quay
	operator *operator

	secrets   []string   // tokens that must be nowhere but in Secrets and Quay
	rotations int        // as the status tells
	held      credential // of the Secret when Secret, status and Quay agreed last
	checks    int
	ended     time.Duration
}

const (
	operatorName = "quay-rotator" // release, namespace and ServiceAccount of the chart
	resource     = "puller"
	pullSecret   = "quay-pull"
	robotName    = "acme+puller"
	interval     = "10s" // the shortest that is allowed
	onInterval   = 3     // rotations to watch before the crash

	soon    = 60 * time.Second // the most that anything may take on a slow machine
	polling = 50 * time.Millisecond
)

// The resources of the demonstration, shown as they are applied.
const resources = `apiVersion: quayrotator.dev/v1alpha1
kind: QuayConnection
metadata:
  name: quay
spec:
  url: %s
  credentialsSecretRef: {name: quay-api}
  ca:
    configMapRef: {name: quay-ca}
---
apiVersion: quayrotator.dev/v1alpha1
kind: RobotTokenRotation
metadata:
  name: puller
spec:
  connectionRef: {name: quay}
  robot: {organization: acme, name: puller}
  schedule: {interval: %s}
  targets:
  - secret: {name: quay-pull}
`

func (s *story) tell(ctx context.Context) error {
	for _, chapter := range []func(context.Context) error{
		s.install, s.adopt, s.rotateOnInterval, s.crash, s.turns, s.review,
	} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	s.ended = time.Since(s.began)
	return nil
}

// install applies the CRDs and what the chart gives the operator, and starts it.
func (s *story) install(ctx context.Context) error {
	s.step("Installing the CRDs, and the chart's ServiceAccount and RBAC rules")
	defer s.busy("installing")()
	if err := s.cluster.CreateNamespace(ctx, operatorName); err != nil {
		return err
	}
	manifests, err := os.ReadFile(filepath.Join(s.root, "deploy/quay-rotator.yaml"))
	if err != nil {
		return err
	}
	rules, err := ofTemplates(string(manifests), "serviceaccount", "rbac")
	if err != nil {
		return err
	}
	applied, err := s.cluster.kubectl(ctx, rules, "apply", "--server-side", "-f", filepath.Join(s.root, "crds"), "-f", "-")
	if err != nil {
		return err
	}
	s.block(applied)
	if _, err = s.cluster.kubectl(ctx, "", "wait", "--for=condition=Established", "--timeout=60s", "crd",
		"robottokenrotations.quayrotator.dev", "quayconnections.quayrotator.dev"); err != nil {
		return err
	}

	s.step("Starting the operator with the rights of that ServiceAccount")
	if s.operator.kubeconfig, err = s.cluster.Kubeconfig(ctx, operatorName, operatorName); err != nil {
		return err
	}
	return s.startOperator()
}

// ofTemplates answers what these templates of the chart have made in its rendering, deploy/quay-rotator.yaml.
func ofTemplates(manifests string, templates ...string) (string, error) {
	var all []string
	for _, template := range templates {
		found := false
		for _, one := range strings.Split(manifests, "\n---\n") {
			if strings.HasPrefix(one, "# Source: quay-rotator/templates/"+template+".yaml\n") {
				all, found = append(all, one), true
			}
		}
		if !found {
			return "", fmt.Errorf("deploy/quay-rotator.yaml has nothing of the template %s: make generate", template)
		}
	}
	return strings.Join(all, "\n---\n"), nil
}

func (s *story) startOperator() error {
	err := s.operator.start()
	if err == nil {
		s.note("build/bin/quay-rotator is process %d", s.operator.command.Process.Pid)
	}
	return err
}

// adopt creates the resources; the token that the robot has already goes into the Secret.
func (s *story) adopt(ctx context.Context) error {
	robot, err := s.quay.robot(ctx, robotName)
	if err != nil {
		return err
	}
	apiToken, err := s.quay.apiToken(ctx)
	if err != nil {
		return err
	}
	s.secrets = append(s.secrets, apiToken)
	s.held = credential{fingerprint: fingerprint(robot.Token)}
	s.step("Creating the resources; robot %s has the token %s", robotName, s.held)
	authority, err := os.ReadFile(s.cluster.QuayCAFile)
	if err != nil {
		return err
	}
	given, err := manifest(
		map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "quay-api"},
			"stringData": map[string]any{"token": apiToken}},
		map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "quay-ca"},
			"data": map[string]any{"ca.crt": string(authority)}})
	if err != nil {
		return err
	}
	ours := fmt.Sprintf(resources, s.cluster.QuayURL, interval)
	s.block(ours)
	if _, err = s.cluster.kubectl(ctx, given+"\n---\n"+ours, "apply", "--server-side", "-f", "-"); err != nil {
		return err
	}
	if err = s.until(ctx, "the resource is Ready", func() error {
		read, err := s.cluster.rotation(ctx, resource)
		if err == nil {
			err = read.ready()
		}
		return err
	}); err != nil {
		return err
	}
	s.proved("the resource is Ready")
	if err = s.settle(ctx, "the Secret holds the token", func(_ *rotation, changes []change) error {
		if len(changes) > 0 {
			return fmt.Errorf("the token has changed: %v", changes)
		}
		return nil
	}); err != nil {
		return err
	}
	if err = s.count(ctx, 0); err != nil {
		return err
	}
	s.proved("Secret %s holds %s: the token is adopted, nothing was regenerated", pullSecret, s.held)
	table, err := s.cluster.kubectl(ctx, "", "get", "rtr")
	if err != nil {
		return err
	}
	s.block(table)
	return s.pulls(ctx, "adopted")
}

// rotateOnInterval watches rotations that nobody asks for.
func (s *story) rotateOnInterval(ctx context.Context) error {
	for number := 1; number <= onInterval; number++ {
		s.step("Rotation %d of %d on the interval of %s", number, onInterval, interval)
		old := s.held
		if err := s.settle(ctx, "the token rotates", someChange); err != nil {
			return err
		}
		s.proved("Secret %s holds the token that Quay holds, %s", pullSecret, s.held)
		name := fmt.Sprintf("rotation-%d", number)
		if err := s.pulls(ctx, name); err != nil {
			return err
		}
		if err := s.refused(ctx, name, old); err != nil {
			return err
		}
	}
	return nil
}

func someChange(read *rotation, changes []change) error {
	if len(changes) > 0 {
		return nil
	}
	if err := read.ready(); err != nil {
		return err
	}
	return fmt.Errorf("it is Ready and due at %s", read.Status.Next.Time.Format(time.TimeOnly))
}

// quiet tells that the latest spec has been seen, nothing is under way and nothing due.
func quiet(read *rotation, _ []change) error {
	status := read.Status
	if status.ObservedGeneration != read.Metadata.Generation || status.Rotation != nil || time.Until(status.Next.Time) < 10*time.Minute {
		return fmt.Errorf("generation %d of %d was seen, under way is %+v, due at %s", status.ObservedGeneration,
			read.Metadata.Generation, status.Rotation, status.Next.Time.Format(time.DateTime))
	}
	return read.ready()
}

// crash kills the operator while it waits for Quay's answer, when the old token is dead already and
// the new one is known to Quay alone.
func (s *story) crash(ctx context.Context) error {
	s.step("A rotation on request, and the operator killed right after Quay's commit")
	// Nothing but the request may rotate from here on, so that its regenerations can be counted.
	if err := s.setInterval(ctx, "1h"); err != nil {
		return err
	}
	if err := s.settle(ctx, "nothing is under way", quiet); err != nil {
		return err
	}
	if err := s.count(ctx, s.rotations); err != nil {
		return err
	}
	s.proved("the interval is 1h now; so far Quay counts %d regenerations, one for each rotation", s.rotations)
	old := s.held

	fault, err := s.quay.holdRegeneration(ctx, robotName)
	if err != nil {
		return err
	}
	if _, err = s.cluster.kubectl(ctx, "", "annotate", "rtr", resource, "quayrotator.dev/rotate-requested-at="+time.Now().Format(time.RFC3339)); err != nil {
		return err
	}
	done := s.busy("waiting until Quay has regenerated")
	err = s.quay.awaitHeld(ctx, fault)
	done()
	if err != nil {
		return err
	}
	s.operator.kill()
	dead := time.Now()
	if err = s.quay.releaseHeld(ctx, fault); err != nil {
		return err
	}
	s.proved("Quay has regenerated and holds its answer back: kill -9 of the operator, nobody got the new token")

	after, err := s.quay.robot(ctx, robotName)
	if err != nil {
		return err
	}
	s.secrets = append(s.secrets, after.Token)
	stale, err := s.cluster.pullSecret(ctx, pullSecret)
	if err != nil {
		return err
	}
	if stale.token != old.token || after.Token == old.token {
		return fmt.Errorf("expected Quay to have a new token and the Secret still %s; Quay has %s, the Secret %s", old, fingerprint(after.Token), stale)
	}
	read, err := s.cluster.rotation(ctx, resource)
	if err != nil {
		return err
	}
	ledger := read.Status.Rotation
	if ledger == nil || ledger.PreviousFingerprint != old.fingerprint {
		return fmt.Errorf("expected the status to record the rotation under way from %s, it has %+v", old, ledger)
	}
	s.proved("the outage is going on: Quay has %s, the Secret still %s", fingerprint(after.Token), stale)
	s.proved("the status has recorded what is under way: rotation %s (%s), from %s", ledger.ID, ledger.Reason, ledger.PreviousFingerprint)
	if err = s.refused(ctx, "outage", stale); err != nil {
		return err
	}

	s.step("Starting the operator again, %.1f s after it was killed", time.Since(dead).Seconds())
	again := time.Now()
	if err = s.startOperator(); err != nil {
		return err
	}
	if err = s.until(ctx, "the Secret holds Quay's new token", func() error {
		held, err := s.cluster.pullSecret(ctx, pullSecret)
		if err == nil && held.token != after.Token {
			err = fmt.Errorf("it holds %s, Quay %s", held, fingerprint(after.Token))
		}
		return err
	}); err != nil {
		return err
	}
	s.proved("the Secret holds Quay's token again, %.2f s after the start of the operator", time.Since(again).Seconds())
	requested := func(read *rotation, changes []change) error {
		if len(changes) != 1 || changes[0].Reason != "Requested" || changes[0].Fingerprint != fingerprint(after.Token) {
			return fmt.Errorf("the status tells the changes %v", changes)
		}
		return quiet(read, nil)
	}
	if err = s.settle(ctx, "the requested rotation is finished", requested); err != nil {
		return err
	}
	if err = s.count(ctx, s.rotations); err != nil {
		return err
	}
	s.proved("one regeneration in Quay for this rotation, too: %d in all", s.rotations)
	return s.pulls(ctx, "recovered")
}

// count compares the regenerations that Quay has done.
func (s *story) count(ctx context.Context, expected int) error {
	robot, err := s.quay.robot(ctx, robotName)
	if err == nil && robot.Regenerations != expected {
		err = fmt.Errorf("expected %d regenerations in all, Quay counts %d", expected, robot.Regenerations)
	}
	return err
}

// review looks at what is left to a user, and for tokens where none may be.
func (s *story) review(ctx context.Context) error {
	s.step("kubectl describe rtr %s", resource)
	var counts map[string]int
	if err := s.until(ctx, "each rotation has its Event", func() (err error) {
		counts, err = s.cluster.events(ctx, resource)
		if err == nil && (counts["Adopted"] < 1 || counts["Rotated"] != s.rotations) {
			err = fmt.Errorf("expected one Adopted and %d Rotated, there are %v", s.rotations, counts)
		}
		return err
	}); err != nil {
		return err
	}
	description, err := s.cluster.kubectl(ctx, "", "describe", "rtr", resource)
	if err != nil {
		return err
	}
	s.block(description)
	s.proved("Events: %d Adopted, %d Rotated", counts["Adopted"], counts["Rotated"])
	everything, err := s.cluster.kubectl(ctx, "", "get", "rtr,quayconnections,events", "-o", "yaml")
	if err != nil {
		return err
	}
	for place, text := range map[string]string{
		"`kubectl describe`": description, "the resources and Events": everything, "the operator's log": s.operator.logged(),
	} {
		if slices.ContainsFunc(s.secrets, func(token string) bool { return strings.Contains(text, token) }) {
			return fmt.Errorf("expected no token in %s, but one is there", place)
		}
	}
	s.proved("none of the %d tokens is in a resource, an Event or the operator's log", len(s.secrets))
	if err = s.settle(ctx, "nothing is under way", quiet); err != nil {
		return err
	}
	return s.count(ctx, s.rotations)
}

// sum is the last line, when all of it has really happened.
func (s *story) sum() {
	s.line("\n" + s.paint("1;32", fmt.Sprintf("%d rotations, %d regenerations in Quay, 1 crash, 0 tokens lost, %d checks passed, in %.0f s.",
		s.rotations, s.rotations, s.checks, s.ended.Seconds())))
}

// proved is a claim that was checked.
func (s *story) proved(format string, arguments ...any) {
	s.checks++
	s.found(format, arguments...)
}

// until asks again and again until the answer is nil.
func (s *story) until(ctx context.Context, expected string, ask func() error) error {
	defer s.busy("waiting until " + expected)()
	began := time.Now()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		if time.Since(began) > soon {
			return fmt.Errorf("expected that %s; after %s: %w", expected, soon, err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(polling):
		}
	}
}

// settle waits until Secret, status and Quay tell the same token and `enough` is content with the
// resource and the changes of the token since the last time; these are told, counted and checked.
func (s *story) settle(ctx context.Context, expected string, enough func(*rotation, []change) error) error {
	var changes []change
	var held credential
	if err := s.until(ctx, expected, func() error {
		read, err := s.cluster.rotation(ctx, resource)
		if err != nil {
			return err
		}
		if changes, err = read.since(s.held.fingerprint); err != nil {
			return err
		}
		if err = enough(read, changes); err != nil {
			return err
		}
		robot, err := s.quay.robot(ctx, robotName)
		if err != nil {
			return err
		}
		if held, err = s.cluster.pullSecret(ctx, pullSecret); err != nil {
			return err
		}
		latest := s.held.fingerprint
		if len(changes) > 0 {
			latest = changes[len(changes)-1].Fingerprint
		}
		if held.token != robot.Token || read.fingerprint() != held.fingerprint || latest != held.fingerprint {
			return fmt.Errorf("the Secret has %s, the status %s (in its history %s), Quay %s", held, read.fingerprint(), latest, fingerprint(robot.Token))
		}
		return nil
	}); err != nil {
		return err
	}
	before := s.held.fingerprint
	for _, change := range changes {
		outage, err := time.ParseDuration(change.Outage)
		if err != nil || outage <= 0 {
			return fmt.Errorf("expected the outage to be measured, the status tells %q", change.Outage)
		}
		s.rotations++
		s.proved("rotated (%s): %s → %s, outage %s", change.Reason, before, change.Fingerprint, outage.Round(10*time.Microsecond))
		before = change.Fingerprint
	}
	s.held = held
	if !slices.Contains(s.secrets, held.token) {
		s.secrets = append(s.secrets, held.token)
	}
	return nil
}

func (s *story) setInterval(ctx context.Context, value string) error {
	_, err := s.cluster.kubectl(ctx, "", "patch", "rtr", resource, "--type=merge", "--patch",
		fmt.Sprintf(`{"spec":{"schedule":{"interval":%q}}}`, value))
	return err
}

// pulls shows that the credential in the Secret is good: a new pod runs with it, or, where there is
// no node, skopeo copies the image.
func (s *story) pulls(ctx context.Context, name string) error {
	if !s.cluster.Node.Available {
		// Each try reads the Secret anew: the next rotation may come in between.
		if err := s.until(ctx, "the image is pulled with the Secret", func() error {
			held, err := s.cluster.pullSecret(ctx, pullSecret)
			if err == nil {
				err = s.cluster.pull(ctx, held)
			}
			return err
		}); err != nil {
			return err
		}
		s.proved("skopeo pulled the image with Secret %s", pullSecret)
		return nil
	}
	pod := "app-" + name
	if err := s.cluster.createPod(ctx, pod, pullSecret); err != nil {
		return err
	}
	began := time.Now()
	if err := s.untilPod(ctx, pod, "Running", ""); err != nil {
		return err
	}
	s.proved("new pod %s pulled the image with Secret %s and is Running on %s after %.1f s", pod, pullSecret, s.cluster.Node.Name, time.Since(began).Seconds())
	return s.cluster.deletePod(ctx, pod)
}

// refused shows that a credential is dead.
func (s *story) refused(ctx context.Context, name string, dead credential) error {
	if s.cluster.Node.Available {
		pod := "revoked-" + name
		if err := s.cluster.createPullSecret(ctx, pod, dead); err != nil {
			return err
		}
		if err := s.cluster.createPod(ctx, pod, pod); err != nil {
			return err
		}
		if err := s.untilPod(ctx, pod, "ErrImagePull", "401 Unauthorized"); err != nil {
			return err
		}
		s.proved("pod %s with the old credential %s: ErrImagePull, 401 Unauthorized", pod, dead)
		if err := s.cluster.deletePod(ctx, pod); err != nil {
			return err
		}
	}
	err := s.cluster.pull(ctx, dead)
	if err == nil {
		return fmt.Errorf("expected the registry to refuse the old credential %s, skopeo pulled with it", dead)
	}
	if !strings.Contains(err.Error(), "unauthorized") {
		return fmt.Errorf("expected the registry to refuse the old credential %s as unauthorized, it said: %w", dead, err)
	}
	s.proved("skopeo with the old credential %s: unauthorized", dead)
	return nil
}

// untilPod waits for a state, and for a part of the message that comes with it.
func (s *story) untilPod(ctx context.Context, pod, expected, because string) error {
	return s.until(ctx, "pod "+pod+" is "+expected, func() error {
		state, message, err := s.cluster.podState(ctx, pod)
		if err == nil && (state != expected || !strings.Contains(message, because)) {
			err = fmt.Errorf("it is %s %s", state, message)
		}
		return err
	})
}
