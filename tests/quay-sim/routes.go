package main

import (
	"net/http"
	"slices"
	"strings"
)

// route is what a path under /api/v1 is about.
type route struct {
	endpoint     string   // as faults and the journal name it
	methods      []string // that Quay takes here
	organization string   // "" for the caller's own namespace
	short        string   // of a robot
	client, uuid string   // of an application, and of a token of it
	repository   string   // ns/name
	robot        string   // the full name in a repository's permissions
	transitive   bool
	all          bool // a superuser's view of every namespace
}

// routeOf leaves out what an older Quay does not have.
func (q *Quay) routeOf(path string) (route, bool) {
	r, ok := routeOf(path)
	since318 := r.endpoint == "application-tokens" || (r.endpoint == "federation" && r.organization == "")
	if since318 && q.switches.get().Before318 {
		return route{}, false
	}
	return r, ok
}

// pattern is a path below /api/v1; a part in braces takes one segment that is not empty.
type pattern struct {
	path, endpoint string
	methods        []string
}

var (
	get    = []string{http.MethodGet}
	post   = []string{http.MethodPost}
	remove = []string{http.MethodDelete}
	extend = []string{http.MethodGet, http.MethodPost}
	change = []string{http.MethodGet, http.MethodPost, http.MethodDelete}
)

var patterns = []pattern{
	{"user/robots", "robot-list", get},
	{"user/robots/{short}", "robot-get", get},
	{"user/robots/{short}/regenerate", "regenerate", post},
	{"user/robots/{short}/federation", "federation", change},
	{"user/robots/{short}/permissions", "robot-permissions", get},
	{"organization/{org}/robots", "robot-list", get},
	{"organization/{org}/robots/{short}", "robot-get", get},
	{"organization/{org}/robots/{short}/regenerate", "regenerate", post},
	{"organization/{org}/robots/{short}/federation", "federation", change},
	{"organization/{org}/robots/{short}/permissions", "robot-permissions", get},
	{"repository/{org}/{repository}/permissions/user/{robot}", "repository-permissions", get},
	{"repository/{org}/{repository}/permissions/user/{robot}/transitive", "repository-permissions", get},
	{"organization/{org}/prototypes", "prototypes", get}, // Quay takes a POST too
	{"organization/{org}/applications", "applications", extend},
	{"organization/{org}/applications/{client}", "applications", remove},
	{"organization/{org}/applications/{client}/tokens", "application-tokens", extend},
	{"organization/{org}/applications/{client}/tokens/{uuid}", "application-tokens", remove},
	{"user/logs", "logs", get},
	{"superuser/logs", "logs", get},
	{"organization/{org}/logs", "logs", get},
	{"organization/{org}/aggregatelogs", "aggregate-logs", get},
}

// routeOf reads the decoded path, as Quay's WSGI server does: a %2F in a name is one more segment.
func routeOf(path string) (route, bool) {
	segments := strings.Split(strings.TrimPrefix(path, "/api/v1/"), "/")
	for _, p := range patterns {
		if values, ok := p.match(segments); ok {
			r := route{endpoint: p.endpoint, methods: p.methods, organization: values["{org}"], short: values["{short}"]}
			r.client, r.uuid = values["{client}"], values["{uuid}"]
			if name, ok := values["{repository}"]; ok {
				r.repository, r.robot, r.transitive = r.organization+"/"+name, values["{robot}"], segments[len(segments)-1] == "transitive"
			}
			r.all = segments[0] == "superuser"
			return r, true
		}
	}
	return route{}, false
}

func (p pattern) match(segments []string) (map[string]string, bool) {
	parts := strings.Split(p.path, "/")
	if len(parts) != len(segments) {
		return nil, false
	}
	values := map[string]string{}
	for i, part := range parts {
		switch {
		case part[0] == '{' && segments[i] != "":
			values[part] = segments[i]
		case part != segments[i]:
			return nil, false
		}
	}
	return values, true
}

// takes tells whether a method is one of the route's.
func (r route) takes(method string) bool {
	return slices.Contains(r.methods, method) || (method == http.MethodHead && slices.Contains(r.methods, http.MethodGet))
}
