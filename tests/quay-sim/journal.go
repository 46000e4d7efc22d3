package main

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Entry is one request as the journal keeps it. It never holds a token: fingerprints only.
type Entry struct {
	Sequence   int64     `json:"sequence"`
	Time       time.Time `json:"time"`
	Method     string    `json:"method"`
	Path       string    `json:"path"`
	Query      string    `json:"query,omitempty"`
	Endpoint   string    `json:"endpoint"`
	Robot      string    `json:"robot,omitempty"`    // that the request is about
	APIToken   string    `json:"apiToken,omitempty"` // name of the living token that came with it
	UserAgent  string    `json:"userAgent,omitempty"`
	Status     int       `json:"status"` // 0: none was sent (yet)
	Done       bool      `json:"done"`
	DurationNs int64     `json:"durationNs,omitempty"`

	Committed         bool   `json:"committed"`
	CommitNs          int64  `json:"commitNs,omitempty"` // Unix time: from here on the old token is dead
	FingerprintBefore string `json:"fingerprintBefore,omitempty"`
	FingerprintAfter  string `json:"fingerprintAfter,omitempty"`

	Login   string   `json:"login,omitempty"`   // granted, wrong-credential, unknown-robot, …
	Granted []string `json:"granted,omitempty"` // "acme/app:pull"
	Fault   string   `json:"fault,omitempty"`   // the action that struck
	Error   string   `json:"error,omitempty"`   // of a TLS handshake; what made an exchange a 500
}

// journalSize bounds the memory; older entries fall out.
const journalSize = 200000

// Journal records every request in the order of arrival. Safe for concurrent use.
type Journal struct {
	mu       sync.Mutex
	last     int64
	entries  []*Entry
	requests map[string]int64 // by endpoint, since the last clear
	changed  chan struct{}    // closed and replaced at every change
}

func newJournal() *Journal {
	return &Journal{requests: map[string]int64{}, changed: make(chan struct{})}
}

func (j *Journal) begin(entry Entry) *Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last++
	entry.Sequence, entry.Time = j.last, time.Now()
	if len(j.entries) >= journalSize {
		j.entries = slices.Clone(j.entries[journalSize/2:])
	}
	j.entries = append(j.entries, &entry)
	j.requests[entry.Endpoint]++
	j.wake()
	return &entry
}

// note changes an entry that begin returned.
func (j *Journal) note(entry *Entry, change func(*Entry)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change(entry)
	j.wake()
}

func (j *Journal) wake() {
	close(j.changed)
	j.changed = make(chan struct{})
}

func (j *Journal) clear() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries, j.requests = nil, map[string]int64{}
}

func (j *Journal) counts() map[string]int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	counts := map[string]int64{}
	for endpoint, n := range j.requests {
		counts[endpoint] = n
	}
	return counts
}

// filter selects entries; empty fields select all.
type filter struct {
	robot, endpoint, method, login string
	after                          int64
	committed, done                bool
}

func (f filter) takes(e *Entry) bool {
	return e.Sequence > f.after && (f.robot == "" || f.robot == e.Robot) &&
		(f.endpoint == "" || f.endpoint == e.Endpoint) && (f.method == "" || f.method == e.Method) &&
		(f.login == "" || f.login == e.Login) && (!f.committed || e.Committed) && (!f.done || e.Done)
}

// read gives the matching entries, waiting for at least want of them until ctx ends.
func (j *Journal) read(ctx context.Context, f filter, want int) []Entry {
	for {
		j.mu.Lock()
		found := []Entry{}
		for _, entry := range j.entries {
			if f.takes(entry) {
				found = append(found, *entry)
			}
		}
		changed := j.changed
		j.mu.Unlock()
		if len(found) >= want {
			return found
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return found
		}
	}
}

// withoutSecrets keeps the parameters that are known to be harmless and hides the others.
func withoutSecrets(query url.Values) string {
	for name, values := range query {
		for i, value := range values {
			switch name {
			case "service", "scope", "limit", "permissions", "next_page", "starttime", "endtime", "performer", "account", "client_id", "offline_token":
			case "token":
				if value != "true" && value != "false" {
					values[i] = "HIDDEN"
				}
			default:
				values[i] = "HIDDEN"
			}
		}
	}
	return strings.ReplaceAll(query.Encode(), "%2F", "/")
}
