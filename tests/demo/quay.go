package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
)

// A quay is the control socket of quay-sim: what an administrator of Quay would look at, and faults.
type quay struct{ client *http.Client }

func newQuay(socket string) *quay {
	return &quay{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}}
}

func (q *quay) call(ctx context.Context, method, path string, body, into any) error {
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://quay"+path, bytes.NewReader(content))
	if err != nil {
		return err
	}
	response, err := q.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if content, err = io.ReadAll(response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("quay-sim: %s %s: %s: %s", method, path, response.Status, content)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(content, into)
}

// A robotState is what Quay holds of a robot, and how often its token was regenerated.
type robotState struct {
	Token         string
	Regenerations int
}

func (q *quay) robot(ctx context.Context, name string) (state robotState, err error) {
	return state, q.call(ctx, http.MethodGet, "/robots/"+name, nil, &state)
}

func (q *quay) apiToken(ctx context.Context) (string, error) {
	var token struct{ Token string }
	return token.Token, q.call(ctx, http.MethodGet, "/tokens/automation", nil, &token)
}

// holdRegeneration makes Quay keep its next answer to a regeneration of the robot to itself, after
// the new token has replaced the old one.
func (q *quay) holdRegeneration(ctx context.Context, robot string) (fault int, err error) {
	var made struct{ ID int }
	return made.ID, q.call(ctx, http.MethodPost, "/faults", map[string]any{
		"match":  map[string]any{"endpoint": "regenerate", "robot": robot},
		"action": "hold", "at": []string{"after"}, "times": 1,
	}, &made)
}

// awaitHeld returns once an answer is held.
func (q *quay) awaitHeld(ctx context.Context, fault int) error {
	var state struct{ Held []struct{ Stage string } }
	if err := q.call(ctx, http.MethodGet, fmt.Sprintf("/faults/%d?wait=60s", fault), nil, &state); err != nil {
		return err
	}
	if len(state.Held) != 1 || state.Held[0].Stage != "after" {
		return fmt.Errorf("expected Quay to hold one answer after its commit, it holds %v", state.Held)
	}
	return nil
}

// releaseHeld lets the answer go and forgets the fault.
func (q *quay) releaseHeld(ctx context.Context, fault int) error {
	return q.call(ctx, http.MethodDelete, fmt.Sprintf("/faults/%d", fault), nil, nil)
}
