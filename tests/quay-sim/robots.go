package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// api answers everything under /api/.
func (q *Quay) api(x *exchange) answer {
	switches := q.switches.get()
	request := x.request
	if switches.NoRobotsAPI {
		return jsonAnswer(404, map[string]string{"error": "not found"})
	}
	if !x.routed {
		// Quay's web pages take every other GET; they are reached through a redirect.
		location := "https://" + request.Host + request.URL.EscapedPath()
		if request.Method != http.MethodGet && request.Method != http.MethodHead {
			return methodNotAllowed("GET, HEAD, OPTIONS")
		}
		if !strings.HasSuffix(location, "/") {
			return redirect(308, location+"/")
		}
		if _, ok := q.routeOf(strings.TrimSuffix(request.URL.Path, "/")); ok {
			return redirect(308, strings.TrimSuffix(location, "/"))
		}
		return htmlAnswer(200, "Red Hat Quay")
	}
	isRead := request.Method == http.MethodGet || request.Method == http.MethodHead
	if !x.route.takes(request.Method) {
		return methodNotAllowed(strings.Join(x.route.methods, ", ") + ", OPTIONS")
	}
	if isRead && strings.HasPrefix(request.UserAgent(), "Mozilla/") && request.Header.Get("X-Requested-With") == "" {
		return flaskAbort(400, "API calls must be invoked with an X-Requested-With header if called from a browser")
	}
	who, known, foreign := q.authenticate(request.Header.Get("Authorization"))
	if foreign != "" {
		return flaskAbort(401, "Issuer "+foreign+" not configured")
	}
	if known {
		q.journal.note(x.entry, func(e *Entry) { e.APIToken = who.token.Name })
		if !switches.ReadOnly {
			q.world.tokenAccessed(who.token.Name, time.Duration(switches.LastAccessedThreshold))
		}
		q.pause(switches.Latency) // the price of the token's bcrypt
	}
	switch {
	case !known && isRead:
		return problem(request.Host, 401, "invalid_token", "Requires authentication")
	case !known:
		return flaskAbort(403, "CSRF token was invalid or missing.")
	case !isRead && switches.ReadOnly:
		return jsonAnswer(503, map[string]any{"is_readonly": true, "message": "System is currently read-only. Pulls will succeed but all write operations are currently suspended."})
	}
	if x.route.endpoint == "repository-permissions" {
		return q.repositoryPermissions(x, who)
	}
	owner, rights, refusal := q.authorize(x, who)
	if refusal != nil {
		return *refusal
	}
	if !isRead && x.route.endpoint != "regenerate" && switches.DatabaseLocked {
		q.pause(switches.LockedWait)
		return internalError()
	}
	switch x.route.endpoint {
	case "robot-list":
		return q.listRobots(request, owner, rights)
	case "logs":
		return q.readLogs(request, owner)
	case "aggregate-logs":
		return q.aggregateLogs(request, owner)
	case "robot-permissions":
		return q.robotPermissions(owner + "+" + x.route.short)
	case "prototypes":
		return q.listPrototypes(owner)
	case "applications":
		if x.request.Method == http.MethodDelete {
			return q.deleteApplication(x, owner, switches)
		}
		return q.listApplications(x, owner, switches)
	case "application-tokens":
		return q.applicationTokens(x, owner, who, switches)
	case "federation":
		return q.federation(x, owner, who, switches)
	case "robot-get":
		return q.readRobot(owner+"+"+x.route.short, rights)
	default:
		return q.regenerate(x, owner, who, switches)
	}
}

// authenticate finds who a bearer speaks for; foreign is the issuer of somebody else's JWT.
func (q *Quay) authenticate(authorization string) (who caller, known bool, foreign string) {
	scheme, token, _ := strings.Cut(strings.TrimSpace(authorization), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return caller{}, false, ""
	}
	if who, known = q.world.callerOf(token); known {
		return who, true, ""
	}
	claims, isJWT := claimsOf(token)
	if !isJWT || !strings.EqualFold(claims.kind, "JWT") { // a ServiceAccount's token has no typ: to Quay it is opaque
		return caller{}, false, ""
	}
	if claims.Issuer == "" {
		claims.Issuer = "None"
	}
	return caller{}, false, claims.Issuer
}

// claims are what the simulator reads of a JWT.
type claims struct {
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`

	kind string // typ of the header
}

// claimsOf reads a well-formed JWT without verifying it.
func claimsOf(token string) (claims, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return claims{}, false
	}
	var header struct {
		Kind string `json:"typ"`
	}
	var payload claims
	for i, into := range []any{&header, &payload} {
		decoded, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[i], "="))
		if err != nil || json.Unmarshal(decoded, into) != nil {
			return claims{}, false
		}
	}
	payload.kind = header.Kind
	return payload, true
}

// rights are what a caller may see.
type rights int

const (
	withTokens rights = iota
	withoutTokens
)

// authorize decides whose robots are meant and whether the caller may.
func (q *Quay) authorize(x *exchange, who caller) (owner string, r rights, refusal *answer) {
	forbidden := unauthorizedFor(x.request.Host)
	isRead := x.request.Method == http.MethodGet || x.request.Method == http.MethodHead
	name := x.route.organization
	switch {
	case x.route.all:
		if !who.may("super:user") || !who.user.Superuser {
			return "", 0, &forbidden
		}
		return "", withTokens, nil
	case name == "":
		if !who.may("user:admin") || (!isRead && who.user.Restricted) {
			return "", 0, &forbidden
		}
		return who.user.Name, withTokens, nil
	case x.route.endpoint == "robot-permissions":
		return name, withTokens, q.authorizePermissions(x, who)
	}
	organization, exists := q.world.organization(name)
	// Every user is the administrator of an "organization" of their own name, until it is looked up.
	own := name == who.user.Name && who.may("user:admin")
	if !who.may("org:admin") && !own {
		return "", 0, &forbidden
	}
	if !exists {
		if own && x.route.endpoint == "robot-list" {
			return name, withTokens, nil
		}
		if x.route.endpoint == "prototypes" && (who.user.Superuser || own) {
			missing := notFound(x.request.Host)
			return "", 0, &missing
		}
		if who.user.Superuser || own {
			missing := message(400, "Organization does not exist: "+name)
			return "", 0, &missing
		}
		return "", 0, &forbidden
	}
	isMember := slices.Contains(organization.Members, who.user.Name)
	switch {
	case who.user.Superuser || slices.Contains(organization.Admins, who.user.Name):
		return name, withTokens, nil
	case who.user.ReadOnlySuperuser && isRead, isMember && x.route.endpoint == "robot-list":
		return name, withoutTokens, nil
	}
	return "", 0, &forbidden
}

// robotBody is a robot as the API shows it.
type robotBody struct {
	Name         string          `json:"name"`
	Created      *string         `json:"created"`
	LastAccessed *string         `json:"last_accessed"`
	Description  string          `json:"description"`
	Token        json.RawMessage `json:"token,omitempty"`
	Metadata     *struct{}       `json:"unstructured_metadata,omitempty"`
	Teams        *[]team         `json:"teams,omitempty"`
	Repositories *[]string       `json:"repositories,omitempty"`
}

func bodyOf(robot Robot, r rights) robotBody {
	body := robotBody{Name: robot.Name, Created: rfc2822(&robot.Created), LastAccessed: rfc2822(robot.LastAccessed), Description: robot.Description}
	if r == withTokens {
		body.Token = json.RawMessage("null")
		if !robot.TokenRowMissing {
			body.Token = json.RawMessage(strconv.Quote(robot.Token))
		}
	}
	return body
}

func rfc2822(t *time.Time) *string {
	if t == nil {
		return nil
	}
	text := t.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0000")
	return &text
}

func (q *Quay) listRobots(request *http.Request, owner string, r rights) answer {
	query := request.URL.Query()
	says := func(name string, values ...string) bool {
		return slices.Contains(values, strings.ToLower(query.Get(name)))
	}
	withPermissions := r == withTokens && says("permissions", "true", "1", "yes")
	if says("token", "false", "0", "no") {
		r = withoutTokens
	}
	robots := q.world.robotsOf(owner)
	if limit, err := strconv.Atoi(query.Get("limit")); err == nil && limit >= 0 && limit < len(robots) {
		robots = robots[:limit]
	}
	bodies := make([]robotBody, 0, len(robots))
	for _, robot := range robots {
		body := bodyOf(robot, r)
		if withPermissions {
			names := []string{}
			for _, role := range q.world.rolesOf(robot.Name) {
				names = append(names, role.Repository.Name)
			}
			body.Teams, body.Repositories = new(teamsOf(robot)), &names
		}
		bodies = append(bodies, body)
	}
	return jsonAnswer(200, map[string][]robotBody{"robots": bodies})
}

func noSuchRobot() answer { return message(400, "Could not find robot with specified username") }

func (q *Quay) readRobot(name string, r rights) answer {
	robot, ok := q.world.robot(name)
	switch {
	case !ok:
		return noSuchRobot()
	case robot.TokenRowMissing:
		return internalError()
	}
	body := bodyOf(robot, r)
	body.Metadata = &struct{}{}
	return jsonAnswer(200, body)
}

// regenerate commits first; the audit log and the answer come after, and may fail.
func (q *Quay) regenerate(x *exchange, owner string, who caller, switches Switches) answer {
	name := owner + "+" + x.route.short
	if _, ok := q.world.robot(name); ok && switches.DatabaseLocked {
		q.pause(switches.LockedWait)
		return internalError()
	}
	c, err := q.world.regenerate(name, false)
	if err != nil {
		return noSuchRobot()
	}
	q.journal.note(x.entry, func(e *Entry) { e.noteCommit(c) })
	return q.written(x, owner, who, switches, "regenerate_robot_token", map[string]any{"robot": x.route.short}, jsonAnswer(200, bodyOf(c.robot, withTokens)))
}

// written logs a change that has been made; where that fails nobody gets the answer.
func (q *Quay) written(x *exchange, owner string, who caller, switches Switches, kind string, metadata map[string]any, a answer) answer {
	if switches.AuditLogBroken {
		return internalError()
	}
	q.logAction(x, owner, who, kind, metadata)
	return a
}

func (e *Entry) noteCommit(c commit) {
	e.Committed, e.CommitNs = true, c.at.UnixNano()
	e.FingerprintBefore, e.FingerprintAfter = c.before, c.after
}
