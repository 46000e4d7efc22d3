package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// call answers one call of the control API with something to show as JSON.
type call func(*http.Request) (any, error)

// newControl is the API on the unix socket; README.md has the calls.
func newControl(q *Quay) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, do call) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			shown, err := do(r)
			status := http.StatusOK
			if err != nil {
				status, shown = http.StatusBadRequest, map[string]string{"error": err.Error()}
				if errors.Is(err, errNotFound) {
					status = http.StatusNotFound
				} else if errors.Is(err, errNothingHeld) {
					status = http.StatusConflict
				}
			}
			w.Header().Set("Content-Type", jsonType)
			w.WriteHeader(status)
			json.NewEncoder(w).Encode(shown)
		})
	}
	handle("GET /{$}", func(*http.Request) (any, error) { return q.describe(), nil })
	handleWorld(handle, q)
	handleSwitches(handle, q)
	handleFaults(handle, q)
	handleJournal(handle, q)
	handleLogs(handle, q)
	return mux
}

func handleWorld(handle func(string, call), q *Quay) {
	w := q.world
	handle("GET /world", func(*http.Request) (any, error) { return w.definition(), nil })
	handle("POST /world", func(r *http.Request) (any, error) {
		content, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		definition := defaultWorld()
		if len(content) > 0 {
			definition = WorldDefinition{}
			if err := decodeStrictly(content, &definition); err != nil {
				return nil, err
			}
		}
		if err := w.replace(definition); err != nil {
			return nil, err
		}
		return w.definition(), nil
	})
	handleKind(handle, w, "users", kind[User]{
		find:   func(name string) (User, bool) { u, ok := w.users[name]; u.Name = name; return u, ok },
		put:    func(u User) error { w.users[u.Name] = u; return nil },
		remove: func(name string) { delete(w.users, name) },
		show:   func(u User) any { return u },
	})
	handleKind(handle, w, "organizations", kind[Organization]{
		find:   func(name string) (Organization, bool) { o, ok := w.organizations[name]; o.Name = name; return o, ok },
		put:    func(o Organization) error { w.organizations[o.Name] = o; return nil },
		remove: func(name string) { delete(w.organizations, name) },
		show:   func(o Organization) any { return o },
	})
	handleKind(handle, w, "repositories", kind[Repository]{
		find: func(name string) (Repository, bool) {
			r, ok := w.repositories[name]
			r.Name, r.Permissions = name, maps.Clone(r.Permissions)
			return r, ok
		},
		put:    w.putRepository,
		remove: func(name string) { delete(w.repositories, name) },
		show:   func(r Repository) any { return r },
	})
	handleKind(handle, w, "applications", kind[Application]{
		find: func(id string) (Application, bool) {
			a, ok := w.applications[id]
			a.ClientID = id
			return a, ok
		},
		put:    func(a Application) error { w.putApplication(a); return nil },
		remove: w.removeApplication,
		show:   func(a Application) any { return a },
	})
	handleKind(handle, w, "tokens", kind[APIToken]{
		find: func(name string) (APIToken, bool) {
			if known, ok := w.tokens[name]; ok {
				return *known, true
			}
			return APIToken{Name: name}, false
		},
		put:    w.putToken,
		remove: func(name string) { delete(w.tokens, name) },
		show:   func(t APIToken) any { return t },
	})
	handleKind(handle, w, "robots", kind[Robot]{
		find: func(name string) (Robot, bool) {
			if known, ok := w.robots[name]; ok {
				return *known, true
			}
			return Robot{Name: name}, false
		},
		put:    w.putRobot,
		remove: w.removeRobot,
		show:   func(r Robot) any { return viewOf(r) },
	})
	// A person presses the button in the UI.
	handle("POST /robots/{name}/regenerate", func(r *http.Request) (any, error) {
		name := r.PathValue("name")
		c, err := w.regenerate(name, true)
		if err != nil {
			return nil, fmt.Errorf("robot %s: %w", name, err)
		}
		entry := q.journal.begin(Entry{Method: "UI", Path: r.URL.Path, Endpoint: "ui-regenerate", Robot: name, Done: true})
		q.journal.note(entry, func(e *Entry) { e.noteCommit(c) })
		owner, short, _ := strings.Cut(name, "+")
		by := r.URL.Query().Get("by")
		if by == "" {
			by = "person"
		}
		w.log(owner, LogEntry{Kind: "regenerate_robot_token", Metadata: map[string]any{"robot": short}, IP: "127.0.0.1", at: c.at, Performer: performerOf(by)})
		return viewOf(c.robot), nil
	})
}

// robotView is a robot as a test sees it: with its token, and the token's fingerprint.
type robotView struct {
	Robot
	Fingerprint     string `json:"fingerprint"`
	Regenerations   int    `json:"regenerations"`      // through the API
	UIRegenerations int    `json:"uiRegenerations"`    // by POST /robots/{name}/regenerate here
	CommitNs        int64  `json:"commitNs,omitempty"` // Unix time of the last one
}

func viewOf(r Robot) robotView {
	view := robotView{Robot: r, Fingerprint: fingerprint(r.Token), Regenerations: r.regenerations, UIRegenerations: r.uiRegenerations}
	if !r.committed.IsZero() {
		view.CommitNs = r.committed.UnixNano()
	}
	return view
}

// kind is one sort of thing in the world; all functions are called with the world locked.
type kind[T any] struct {
	find   func(name string) (T, bool) // gives a new thing when there is none
	put    func(T) error
	remove func(name string)
	show   func(T) any
}

// handleKind makes GET, PUT (creates, or changes the fields that are given) and DELETE.
func handleKind[T any](handle func(string, call), w *World, plural string, k kind[T]) {
	on := func(method string, do func(name string, r *http.Request) (any, error)) {
		pattern := method + " /" + plural + "/{name}"
		if plural == "repositories" {
			pattern = method + " /" + plural + "/{name...}"
		}
		handle(pattern, func(r *http.Request) (any, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return do(r.PathValue("name"), r)
		})
	}
	missing := func(name string) error { return fmt.Errorf("%s %s: %w", plural, name, errNotFound) }
	on("GET", func(name string, _ *http.Request) (any, error) {
		thing, ok := k.find(name)
		if !ok {
			return nil, missing(name)
		}
		return k.show(thing), nil
	})
	on("PUT", func(name string, r *http.Request) (any, error) {
		thing, _ := k.find(name)
		if err := decodeBody(r, &thing); err != nil {
			return nil, err
		}
		if err := k.put(thing); err != nil {
			return nil, err
		}
		thing, ok := k.find(name)
		if !ok {
			return nil, fmt.Errorf("the body names something other than %s", name)
		}
		return k.show(thing), nil
	})
	on("DELETE", func(name string, _ *http.Request) (any, error) {
		thing, ok := k.find(name)
		if !ok {
			return nil, missing(name)
		}
		k.remove(name)
		return k.show(thing), nil
	})
}

// decodeBody leaves into as it is where the body is empty.
func decodeBody(r *http.Request, into any) error {
	content, err := io.ReadAll(r.Body)
	if err != nil || len(content) == 0 {
		return err
	}
	return decodeStrictly(content, into)
}

func handleSwitches(handle func(string, call), q *Quay) {
	handle("GET /switches", func(*http.Request) (any, error) { return q.switches.get(), nil })
	handle("PUT /switches", func(r *http.Request) (any, error) {
		if err := q.switches.change(func(s *Switches) error { return decodeBody(r, s) }); err != nil {
			return nil, err
		}
		return q.switches.get(), nil
	})
	// Back to normal; the registry behind and the CA of issuers stay.
	handle("DELETE /switches", func(*http.Request) (any, error) {
		if err := q.switches.change(func(s *Switches) error {
			registry, issuerCA := s.Registry, s.IssuerCA
			*s = defaultSwitches()
			s.Registry, s.IssuerCA = registry, issuerCA
			return nil
		}); err != nil {
			return nil, err
		}
		return q.switches.get(), nil
	})
}

var errNothingHeld = errors.New("the fault held no request in that time")

func handleFaults(handle func(string, call), q *Quay) {
	id := func(r *http.Request) (int, error) {
		n, err := strconv.Atoi(r.PathValue("id"))
		if err != nil || n < 1 {
			return 0, fmt.Errorf("fault %s: %w", r.PathValue("id"), errNotFound)
		}
		return n, nil
	}
	handle("POST /faults", func(r *http.Request) (any, error) {
		var f Fault
		if err := decodeBody(r, &f); err != nil {
			return nil, err
		}
		return q.faults.add(f)
	})
	handle("GET /faults", func(*http.Request) (any, error) { return q.faults.all(), nil })
	handle("DELETE /faults", func(*http.Request) (any, error) { q.faults.remove(0); return []Fault{}, nil })
	handle("DELETE /faults/{id}", func(r *http.Request) (any, error) {
		n, err := id(r)
		if err == nil && !q.faults.remove(n) {
			err = fmt.Errorf("fault %d: %w", n, errNotFound)
		}
		return struct{}{}, err
	})
	await := func(r *http.Request, release bool, wait time.Duration) (Fault, error) {
		n, err := id(r)
		if err != nil {
			return Fault{}, err
		}
		ctx, cancel, err := waiting(r, wait)
		if err != nil {
			return Fault{}, err
		}
		defer cancel()
		f, ok := q.faults.await(ctx, n, release)
		if !ok {
			return Fault{}, fmt.Errorf("fault %d: %w", n, errNotFound)
		}
		return f, nil
	}
	handle("GET /faults/{id}", func(r *http.Request) (any, error) { return await(r, false, 0) })
	handle("POST /faults/{id}/release", func(r *http.Request) (any, error) {
		f, err := await(r, true, 10*time.Second)
		if err == nil && len(f.Held) == 0 {
			err = errNothingHeld
		}
		return map[string]any{"released": f.Held}, err
	})
}

// waiting is the call's context, ended by ?wait=DURATION.
func waiting(r *http.Request, preset time.Duration) (context.Context, context.CancelFunc, error) {
	if text := r.URL.Query().Get("wait"); text != "" {
		var err error
		if preset, err = time.ParseDuration(text); err != nil {
			return nil, nil, err
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), preset)
	return ctx, cancel, nil
}

func handleJournal(handle func(string, call), q *Quay) {
	handle("GET /journal", func(r *http.Request) (any, error) {
		query := r.URL.Query()
		f := filter{
			robot:    strings.ReplaceAll(query.Get("robot"), " ", "+"), // a + that was not encoded
			endpoint: query.Get("endpoint"), method: query.Get("method"), login: query.Get("login"),
			committed: query.Get("committed") == "true", done: query.Get("done") == "true",
		}
		want := 0
		for name, into := range map[string]func(int){"after": func(n int) { f.after = int64(n) }, "count": func(n int) { want = n }} {
			if text := query.Get(name); text != "" {
				n, err := strconv.Atoi(text)
				if err != nil {
					return nil, err
				}
				into(n)
			}
		}
		if query.Has("wait") {
			want = max(want, 1)
		}
		ctx, cancel, err := waiting(r, 0)
		if err != nil {
			return nil, err
		}
		defer cancel()
		return q.journal.read(ctx, f, want), nil
	})
	handle("DELETE /journal", func(*http.Request) (any, error) { q.journal.clear(); return []Entry{}, nil })
	handle("GET /counters", func(*http.Request) (any, error) {
		api, ui := map[string]int{}, map[string]int{}
		q.world.mu.Lock()
		defer q.world.mu.Unlock()
		for name, robot := range q.world.robots {
			api[name], ui[name] = robot.regenerations, robot.uiRegenerations
		}
		return map[string]any{"requests": q.journal.counts(), "regenerations": api, "uiRegenerations": ui}, nil
	})
}
