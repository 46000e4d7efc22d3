package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Match selects requests; empty fields select all.
type Match struct {
	Endpoint string `json:"endpoint,omitempty"` // robot-get, robot-list, regenerate, auth, v2-challenge, …
	Method   string `json:"method,omitempty"`
	Path     string `json:"path,omitempty"` // a regular expression, not anchored
	Robot    string `json:"robot,omitempty"`
}

// Fault is what happens to the requests that match, the oldest fault first. README.md lists the actions.
type Fault struct {
	ID     int    `json:"id"`
	Match  Match  `json:"match"`
	Skip   int    `json:"skip,omitempty"`  // so many matching requests pass first
	Times  int    `json:"times,omitempty"` // 0: for ever
	Action string `json:"action"`

	Commit      *bool             `json:"commit,omitempty"` // whether the request takes effect before its answer is replaced
	Delay       Duration          `json:"delay,omitempty"`  // of delay-…, commit-late; of each byte of drip
	At          []string          `json:"at,omitempty"`     // of hold: before, after (the commit); both by default
	Status      int               `json:"status,omitempty"` // of answer
	ContentType string            `json:"contentType,omitempty"`
	Body        string            `json:"body,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Bytes       int64             `json:"bytes,omitempty"` // of huge-body; 64 MiB by default

	Struck int    `json:"struck"`
	Held   []Held `json:"held,omitempty"`

	path     *regexp.Regexp
	disabled bool // deleted: what it held goes on
}

// Held is a request that waits for a release.
type Held struct {
	Sequence int64  `json:"sequence"`
	Stage    string `json:"stage"` // before or after the commit

	release chan struct{}
}

// replacements are the actions that change the answer; the value tells whether the request takes effect.
var replacements = map[string]bool{
	"error-before": false, "error-after": true, "rate-limited": false, "bad-gateway": false, "gateway-timeout": false,
	"html-200": true, "empty-200": true, "huge-body": true, "wrong-name": true, "no-token": true, "redirect": false, "answer": false,
}

var otherActions = []string{"delay-before", "delay-after", "reset-before", "reset-after", "half-body", "drip", "hold", "commit-late"}

func (f *Fault) check() error {
	_, replaces := replacements[f.Action]
	if !replaces && !slices.Contains(otherActions, f.Action) {
		return fmt.Errorf("unknown action %q: one of %s", f.Action, strings.Join(append(sorted(replacements), otherActions...), ", "))
	}
	if f.Commit != nil && !replaces {
		return fmt.Errorf("commit means nothing to %s", f.Action)
	}
	if f.Commit != nil && !*f.Commit && (f.Action == "wrong-name" || f.Action == "no-token") {
		return fmt.Errorf("%s changes the real answer: the request takes effect", f.Action)
	}
	if f.Action == "answer" && (f.Status < 200 || f.Status > 599) {
		return errors.New("answer needs a status from 200 to 599")
	}
	if len(f.At) == 0 {
		f.At = []string{"before", "after"}
	}
	for _, stage := range f.At {
		if stage != "before" && stage != "after" {
			return fmt.Errorf("at takes before and after, not %q", stage)
		}
	}
	var err error
	f.path, err = regexp.Compile(f.Match.Path)
	return err
}

// takesEffect tells whether a replaced request runs.
func (f *Fault) takesEffect() bool {
	if f.Commit != nil {
		return *f.Commit
	}
	return replacements[f.Action]
}

func (f *Fault) matches(x *exchange) bool {
	m := f.Match
	return (m.Endpoint == "" || m.Endpoint == x.entry.Endpoint) && (m.Method == "" || m.Method == x.request.Method) &&
		(m.Robot == "" || m.Robot == x.entry.Robot) && f.path.MatchString(x.request.URL.Path)
}

// Faults are the scripted ones. Safe for concurrent use.
type Faults struct {
	mu      sync.Mutex
	last    int
	list    []*Fault
	changed chan struct{}
	done    <-chan struct{} // the end of the program releases everything
}

func newFaults(done <-chan struct{}) *Faults {
	return &Faults{changed: make(chan struct{}), done: done}
}

func (s *Faults) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Faults) add(f Fault) (Fault, error) {
	if err := f.check(); err != nil {
		return Fault{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	f.ID, f.Struck, f.Held = s.last, 0, nil
	s.list = append(s.list, &f)
	return f, nil
}

// claim finds the fault for a request and counts it.
func (s *Faults) claim(x *exchange) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.list {
		if (f.Times > 0 && f.Struck >= f.Times) || !f.matches(x) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		f.Struck++
		return f
	}
	return nil
}

// remove forgets a fault (0: all) and lets go what it held.
func (s *Faults) remove(id int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.list[:0:0]
	for _, f := range s.list {
		if id != 0 && f.ID != id {
			kept = append(kept, f)
			continue
		}
		f.disabled = true
		for _, held := range f.Held {
			close(held.release)
		}
		f.Held = nil
	}
	found := len(kept) < len(s.list)
	s.list = kept
	s.wake()
	return found
}

func (s *Faults) all() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []Fault{}
	for _, f := range s.list {
		list = append(list, f.copy())
	}
	return list
}

func (f *Fault) copy() Fault {
	c := *f
	c.Held = slices.Clone(f.Held)
	return c
}

// await waits until the fault holds a request, or ctx ends; it gives the fault as it then is.
func (s *Faults) await(ctx context.Context, id int, release bool) (Fault, bool) {
	for {
		s.mu.Lock()
		at := slices.IndexFunc(s.list, func(f *Fault) bool { return f.ID == id })
		if at < 0 {
			s.mu.Unlock()
			return Fault{}, false
		}
		f, changed := s.list[at], s.changed
		seen := f.copy()
		if release {
			for _, held := range f.Held {
				close(held.release)
			}
			f.Held = nil
		}
		s.mu.Unlock()
		if len(seen.Held) > 0 {
			return seen, true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return seen, true
		}
	}
}

// hold keeps the request's goroutine until somebody releases it; a client that leaves changes nothing.
func (s *Faults) hold(f *Fault, sequence int64, stage string) {
	if !slices.Contains(f.At, stage) {
		return
	}
	s.mu.Lock()
	if f.disabled {
		s.mu.Unlock()
		return
	}
	held := Held{sequence, stage, make(chan struct{})}
	f.Held = append(f.Held, held)
	s.wake()
	s.mu.Unlock()
	select {
	case <-held.release:
	case <-s.done:
	}
}

// replace makes the answer that the client gets instead of real.
func (f *Fault) replace(real answer, request *http.Request) answer {
	switch f.Action {
	case "error-before", "error-after":
		return internalError()
	case "rate-limited":
		return htmlAnswer(429, "Too Many Requests")
	case "bad-gateway":
		return htmlAnswer(502, "Quay Loading")
	case "gateway-timeout":
		return htmlAnswer(504, "Gateway Time-out")
	case "html-200":
		return htmlAnswer(200, "Welcome")
	case "empty-200":
		return answer{status: 200, contentType: jsonType}
	case "redirect":
		return redirect(301, "https://"+hostWithoutPort(request.Host)+request.URL.RequestURI())
	case "wrong-name":
		return real.edit(func(robot map[string]any) { robot["name"] = "somebody+else" })
	case "no-token":
		return real.edit(func(robot map[string]any) { delete(robot, "token") })
	}
	a := answer{status: f.Status, contentType: f.ContentType, header: http.Header{}, body: []byte(f.Body)}
	for name, value := range f.Headers {
		a.header.Set(name, value)
	}
	return a
}

// edit changes the robot in a body, or each robot of a list.
func (a answer) edit(change func(map[string]any)) answer {
	var body map[string]any
	if json.Unmarshal(a.body, &body) != nil {
		return a
	}
	if list, ok := body["robots"].([]any); ok {
		for _, robot := range list {
			change(robot.(map[string]any))
		}
	} else {
		change(body)
	}
	edited := jsonAnswer(a.status, body)
	edited.header = a.header
	return edited
}
