package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
)

const (
	turning    = "turns"
	turnSecret = "quay-pull-turns"
	turns      = 3
)

// Two robots that take turns.
const turningResource = `apiVersion: quayrotator.dev/v1alpha1
kind: RobotTokenRotation
metadata:
  name: turns
spec:
  connectionRef: {name: quay}
  robot: {organization: acme, name: turn-a}
  strategy:
    type: Alternate
    alternate:
      standby: {name: turn-b}
  schedule: {interval: 720h}
  targets:
  - secret: {name: quay-pull-turns}
`

// turns shows that two robots have no outage: skopeo pulls without a pause while they take turns.
func (s *story) turns(ctx context.Context) error {
	s.step("No outage at all: two robots take turns, and an image is pulled without a pause")
	s.block(turningResource)
	permissions := map[string]string{robotName: "read", "acme+turn-a": "read", "acme+turn-b": "read"}
	for _, call := range []struct {
		path string
		body any
	}{
		{"/robots/acme+turn-a", struct{}{}}, {"/robots/acme+turn-b", struct{}{}},
		{"/repositories/acme/app", map[string]any{"permissions": permissions}},
	} {
		if err := s.quay.call(ctx, http.MethodPut, call.path, call.body, nil); err != nil {
			return err
		}
	}
	if _, err := s.cluster.kubectl(ctx, turningResource, "apply", "-f", "-"); err != nil {
		return err
	}
	var now *rotation
	if err := s.until(ctx, "both robots are known", func() (err error) {
		if now, err = s.cluster.rotation(ctx, turning); err == nil {
			err = now.ready()
		}
		return err
	}); err != nil {
		return err
	}
	return s.pullThrough(ctx, now.active().Name)
}

func (s *story) pullThrough(ctx context.Context, active string) error {
	pulling, stop := context.WithCancel(ctx)
	defer stop()
	var pulls atomic.Int32
	failed := make(chan error, 1)
	go func() {
		defer close(failed)
		for pulling.Err() == nil {
			held, err := s.cluster.pullSecret(ctx, turnSecret, "acme+turn-a", "acme+turn-b")
			if err == nil {
				err = s.cluster.pull(ctx, held)
			}
			if err != nil {
				failed <- err
				return
			}
			pulls.Add(1)
		}
	}()
	for turn := 1; turn <= turns; turn++ {
		if _, err := s.cluster.kubectl(ctx, "", "annotate", "rtr", turning, "--overwrite",
			fmt.Sprintf("quayrotator.dev/rotate-requested-at=turn %d", turn)); err != nil {
			return err
		}
		var next string
		if err := s.until(ctx, "the other robot is active", func() error {
			now, err := s.cluster.rotation(ctx, turning)
			if err == nil {
				if next = now.active().Name; next == active || now.Status.Rotation != nil {
					err = fmt.Errorf("%s is active, the ledger is %v", next, now.Status.Rotation)
				}
			}
			return err
		}); err != nil {
			return err
		}
		before := pulls.Load()
		if err := s.until(ctx, "it is pulled with", func() error {
			if pulls.Load() > before+1 || len(failed) > 0 {
				return nil
			}
			return fmt.Errorf("%d pulls so far", pulls.Load())
		}); err != nil {
			return err
		}
		s.proved("turn %d: %s took over from %s, whose token stays valid", turn, next, active)
		active = next
	}
	stop()
	if err := <-failed; err != nil {
		return fmt.Errorf("expected every pull to succeed, after %d: %w", pulls.Load(), err)
	}
	s.proved("skopeo pulled %d times without a pause, none failed", pulls.Load())
	return nil
}
