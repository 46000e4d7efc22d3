package main

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// LogEntry is a line of a namespace's audit log.
type LogEntry struct {
	Kind      string         `json:"kind"`
	Metadata  map[string]any `json:"metadata"`
	IP        string         `json:"ip"`
	Datetime  string         `json:"datetime"`
	Performer *performer     `json:"performer,omitempty"` // nobody, where no API token and no password was used
	Namespace *namespace     `json:"namespace,omitempty"` // in the superuser's view only

	at        time.Time
	number    int
	namespace string
}

type performer struct {
	Kind    string            `json:"kind"`
	Name    string            `json:"name"`
	IsRobot bool              `json:"is_robot"`
	Avatar  map[string]string `json:"avatar"`
}

type namespace struct {
	Kind   string            `json:"kind"`
	Name   string            `json:"name"`
	Avatar map[string]string `json:"avatar"`
}

func performerOf(name string) *performer {
	isRobot := strings.Contains(name, "+")
	kind := "user"
	if isRobot {
		kind = "robot"
	}
	return &performer{"user", name, isRobot, map[string]string{"name": name, "kind": kind}}
}

// log appends to a namespace's audit log, which keeps its last 10,000 entries. An entry without a time is of now.
func (w *World) log(namespace string, entry LogEntry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if entry.at.IsZero() {
		entry.at = time.Now()
	}
	w.lastLog++
	entry.number, entry.namespace, entry.Datetime = w.lastLog, namespace, *rfc2822(&entry.at)
	entries := append(w.logs[namespace], entry)
	if len(entries) > 10000 {
		entries = slices.Clone(entries[len(entries)-10000:])
	}
	w.logs[namespace] = entries
}

// span selects entries of the audit log.
type span struct {
	namespace string // "" for all of them
	from, to  time.Time
	performer string // "" for everybody
}

// logsOf are the entries of a span, the newest first.
func (w *World) logsOf(s span) []LogEntry {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []LogEntry
	for name, entries := range w.logs {
		if s.namespace != "" && s.namespace != name {
			continue
		}
		for _, entry := range entries {
			by := entry.Performer
			if !entry.at.Before(s.from) && entry.at.Before(s.to) && (s.performer == "" || (by != nil && by.Name == s.performer)) {
				if s.namespace == "" {
					kind := "user"
					if _, ok := w.organizations[name]; ok {
						kind = "org"
					}
					entry.Namespace = &namespace{kind, name, map[string]string{"name": name, "kind": kind}}
				}
				found = append(found, entry)
			}
		}
	}
	slices.SortFunc(found, func(a, b LogEntry) int { return b.number - a.number })
	return found
}

// knows tells whether there is a user or a robot of that name.
func (w *World) knows(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, isUser := w.users[name]
	return isUser || w.robots[name] != nil
}

// spanOf reads starttime, endtime and performer: a time that is none is ignored, a performer nobody knows breaks Quay.
func (q *Quay) spanOf(request *http.Request, namespace string) (span, *answer) {
	query, now := request.URL.Query(), time.Now().UTC()
	day := func(name string, preset time.Time) time.Time {
		if parsed, err := time.Parse("1/2/2006", query.Get(name)); err == nil {
			return parsed
		}
		return preset
	}
	s := span{namespace: namespace, performer: query.Get("performer")}
	s.from, s.to = day("starttime", now.AddDate(0, 0, -1)), day("endtime", now).AddDate(0, 0, 1)
	if s.to.Before(s.from) {
		refused := message(400, "The browser (or proxy) sent a request that this server could not understand.")
		return s, &refused
	}
	if s.performer != "" && !q.world.knows(s.performer) {
		broken := internalError()
		return s, &broken
	}
	return s, nil
}

// cursor is a next_page: everything older than an entry.
func cursor(number int) string {
	return "gAAAAAB" + base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(number)))
}

// before reads a cursor; ok is false for one that is garbage, which Quay ignores.
func before(text string) (number int, ok bool) {
	encoded, ok := strings.CutPrefix(text, "gAAAAAB")
	decoded, err := base64.RawURLEncoding.DecodeString(encoded)
	number, notNumber := strconv.Atoi(string(decoded))
	return number, ok && err == nil && notNumber == nil
}

// logsPerPage is Quay's number.
const logsPerPage = 20

// readLogs pages by twenty. There is a next page behind every one that holds something, be it the last.
func (q *Quay) readLogs(request *http.Request, namespace string) answer {
	s, refusal := q.spanOf(request, namespace)
	if refusal != nil {
		return *refusal
	}
	entries := q.world.logsOf(s)
	if number, ok := before(request.URL.Query().Get("next_page")); ok {
		entries = slices.DeleteFunc(entries, func(e LogEntry) bool { return e.number >= number })
	}
	page := entries[:min(logsPerPage, len(entries))]
	body := map[string]any{"start_time": rfc2822(&s.from), "end_time": rfc2822(&s.to), "logs": append([]LogEntry{}, page...)}
	if len(page) > 0 {
		body["next_page"] = cursor(page[len(page)-1].number)
	}
	return jsonAnswer(200, body)
}

// aggregateLogs counts by kind and day.
func (q *Quay) aggregateLogs(request *http.Request, namespace string) answer {
	s, refusal := q.spanOf(request, namespace)
	if refusal != nil {
		return *refusal
	}
	type key struct {
		day  time.Time
		kind string
	}
	counts := map[key]int{}
	for _, entry := range q.world.logsOf(s) {
		counts[key{entry.at.UTC().Truncate(24 * time.Hour), entry.Kind}]++
	}
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b key) int {
		if order := a.day.Compare(b.day); order != 0 {
			return order
		}
		return strings.Compare(a.kind, b.kind)
	})
	aggregated := []map[string]any{}
	for _, k := range keys {
		aggregated = append(aggregated, map[string]any{"kind": k.kind, "count": counts[k], "datetime": rfc2822(&k.day)})
	}
	return jsonAnswer(200, map[string]any{"aggregated": aggregated})
}

// logAction writes what a caller of the API did. The three keys of the token are what tells it from a person's click.
func (q *Quay) logAction(x *exchange, owner string, who caller, kind string, metadata map[string]any) {
	metadata["oauth_token_id"] = who.token.id
	metadata["oauth_token_application_id"] = who.application.ClientID
	metadata["oauth_token_application"] = who.application.Name
	q.world.log(owner, LogEntry{Kind: kind, Metadata: metadata, IP: x.ip(), Performer: performerOf(who.user.Name)})
}

// givenEntry is an entry that a test writes by the control API.
type givenEntry struct {
	Kind      string         `json:"kind"`
	Metadata  map[string]any `json:"metadata"`
	IP        string         `json:"ip"`
	Time      time.Time      `json:"time"`
	Performer string         `json:"performer"`
}

func handleLogs(handle func(string, call), q *Quay) {
	handle("POST /logs/{namespace}", func(r *http.Request) (any, error) {
		given := givenEntry{IP: "127.0.0.1", Metadata: map[string]any{}}
		if err := decodeBody(r, &given); err != nil {
			return nil, err
		}
		if given.Kind == "" {
			return nil, fmt.Errorf("an entry of the log needs a kind")
		}
		entry := LogEntry{Kind: given.Kind, Metadata: given.Metadata, IP: given.IP, at: given.Time}
		if given.Performer != "" {
			entry.Performer = performerOf(given.Performer)
		}
		q.world.log(r.PathValue("namespace"), entry)
		return struct{}{}, nil
	})
}
