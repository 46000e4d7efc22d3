package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const robotPermissions = puller + "/permissions"

func TestPermissionsOfARobotNeedBothScopesAndAnOwner(t *testing.T) {
	const permissions = `{"permissions": [{"repository": {"name": "app", "is_public": false}, "role": "read"}]}`
	good, scope := expected{200, "application/json", permissions}, expected{403, "application/json", insufficientScope}
	protected := expected{403, "application/json",
		`{"message": "You don't have the permission to access the requested resource. It is either read-protected or not readable by the server."}`}
	for _, row := range []struct {
		name, scopes, prepare, path string
		want                        expected
	}{
		{"both", `"org:admin", "user:admin"`, "", robotPermissions, good},
		{"org", `"org:admin"`, "", robotPermissions, scope},
		{"user", `"user:admin"`, "", robotPermissions, protected},
		{"both, but no owner", `"org:admin", "user:admin"`, `/organizations/acme {"admins": []}`, robotPermissions, protected},
		{"both, no such organization", `"org:admin", "user:admin"`, "", "/api/v1/organization/nobody/robots/puller/permissions", protected},
		{"both, no such robot", `"org:admin", "user:admin"`, "", "/api/v1/organization/acme/robots/nobody/permissions", expected{400, "application/json", noSuchRobotBody}},
		{"user, own robot", `"user:admin"`, "", "/api/v1/user/robots/ci/permissions", good},
		{"org, own robot", `"org:admin"`, "", "/api/v1/user/robots/ci/permissions", scope},
		{"user, no such robot", `"user:admin"`, "", "/api/v1/user/robots/nobody/permissions", expected{400, "application/json", noSuchRobotBody}},
		{"expired", `"user:admin"`, `/tokens/automation {"expired": true}`, robotPermissions, expected{401, "application/json", invalidToken}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.prepare(row.scopes, row.prepare)
			s.check(t, s.send("GET", row.path, s.bearer()), row.want)
		})
	}
}

func TestPermissionsOfARepository(t *testing.T) {
	good := func(robot, role string) expected {
		return expected{200, "application/json", fmt.Sprintf(`{"role": %q, "name": %q, "is_robot": true, "is_org_member": %v}`, role, robot, strings.HasPrefix(robot, "acme+"))}
	}
	transitive := func(roles string) expected {
		return expected{200, "application/json", `{"permissions": [` + roles + `]}`}
	}
	refused := expected{403, "application/json", insufficientScope}
	for _, row := range []struct {
		name, scope, prepare, path string
		want                       expected
	}{
		{"repo:admin", "repo:admin", "", "acme/app/permissions/user/acme+puller", good("acme+puller", "read")},
		{"+ as %2B", "repo:admin", "", "acme/app/permissions/user/acme%2Bpusher", good("acme+pusher", "write")},
		{"a user's robot", "repo:admin", "", "acme/app/permissions/user/admin+ci", good("admin+ci", "read")},
		{"org", "org:admin", "", "acme/app/permissions/user/acme+puller", refused},
		{"no owner", "repo:admin", `/organizations/acme {"admins": []}`, "acme/app/permissions/user/acme+puller", refused},
		{"transitive", "repo:admin", "", "acme/app/permissions/user/acme+puller/transitive", transitive(`{"role": "read"}`)},
		{"transitive without any", "repo:admin", `/repositories/acme/app {"permissions": {"acme+standby": "read"}}`, "acme/app/permissions/user/acme+new/transitive", transitive("")},
		{"transitive, org", "org:admin", "", "acme/app/permissions/user/acme+puller/transitive", refused},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.call("PUT", "/robots/acme+new", "", nil)
			s.prepare(`"`+row.scope+`"`, row.prepare)
			s.check(t, s.send("GET", "/api/v1/repository/"+row.path, s.bearer()), row.want)
			if entries := s.journal("endpoint=repository-permissions"); len(entries) != 1 || !strings.Contains(entries[0].Robot, "+") {
				t.Errorf("journal: %+v", entries)
			}
		})
	}
}

func TestTheListOfRobotsShowsTeamsAndRepositoriesWhenAsked(t *testing.T) {
	s := start(t)
	s.call("PUT", "/robots/acme+puller", `{"teams": ["pullers"]}`, nil)
	s.call("PUT", "/repositories/acme/base", `{"permissions": {"acme+puller": "read"}}`, nil)
	list := func(query string) map[string]any {
		r := s.send("GET", "/api/v1/organization/acme/robots"+query, s.bearer())
		robots, _ := fields(t, r.body)["robots"].([]any)
		if r.StatusCode != 200 || len(robots) != 3 {
			t.Fatalf("%s: %d %s", query, r.StatusCode, r.body)
		}
		return robots[0].(map[string]any)
	}
	for query, token := range map[string]bool{"?permissions=true": true, "?permissions=true&token=false": false} {
		robot := list(query)
		teams, _ := robot["teams"].([]any)
		if fmt.Sprint(robot["repositories"]) != "[app base]" || len(teams) != 1 || teams[0].(map[string]any)["name"] != "pullers" {
			t.Errorf("%s: %v", query, robot)
		}
		if _, ok := robot["token"]; ok != token {
			t.Errorf("%s: token there: %v", query, ok)
		}
	}
	if robot := list(""); robot["teams"] != nil || robot["repositories"] != nil {
		t.Errorf("nobody asked: %v", robot)
	}
	// A robot that was made again has no rights.
	s.call("DELETE", "/robots/acme+puller", "", nil)
	s.call("PUT", "/robots/acme+puller", "", nil)
	if robot := list("?permissions=true"); fmt.Sprint(robot["repositories"], robot["teams"]) != "[] []" {
		t.Errorf("made again: %v", robot)
	}
	s.call("PUT", "/tokens/automation", `{"scopes": ["user:admin"]}`, nil)
	s.check(t, s.send("GET", "/api/v1/user/robots?permissions=true&token=false&limit=1", s.bearer()), expected{200, "application/json",
		fmt.Sprintf(`{"robots": [{"name": "admin+ci", "created": %q, "last_accessed": null, "description": "", "teams": [], "repositories": ["app"]}]}`,
			*rfc2822(new(s.robot("admin+ci").Created)))})
}

func TestDefaultPermissionsAreShownToOwners(t *testing.T) {
	const path = "/api/v1/organization/acme/prototypes"
	s := start(t)
	s.check(t, s.send("GET", path, s.bearer()), expected{200, "application/json", `{"prototypes": []}`})
	s.call("PUT", "/organizations/acme", `{"defaultPermissions": [{"delegate": "acme+puller", "role": "read"},
		{"creator": "admin", "delegate": "pullers", "team": true, "role": "write"}, {"delegate": "acme+standby", "role": "read"}]}`, nil)
	s.call("DELETE", "/robots/acme+standby", "", nil)
	s.check(t, s.send("GET", path, s.bearer()), expected{200, "application/json", `{"prototypes": [
		{"activating_user": null, "role": "read", "id": "00000000-0000-4000-8000-000000000000", "delegate":
			{"name": "acme+puller", "is_robot": true, "kind": "user", "is_org_member": true, "avatar": {"name": "acme+puller", "kind": "robot"}}},
		{"activating_user": {"name": "admin", "is_robot": false, "kind": "user", "is_org_member": true, "avatar": {"name": "admin", "kind": "user"}},
			"role": "write", "id": "00000001-0000-4000-8000-000000000000", "delegate": {"name": "pullers", "kind": "team", "avatar": {"name": "pullers", "kind": "team"}}}]}`})
	if entries := s.journal("endpoint=prototypes"); len(entries) != 2 {
		t.Errorf("journal: %+v", entries)
	}
	refused := expected{403, "application/json", insufficientScope}
	s.check(t, s.send("GET", "/api/v1/organization/nobody/prototypes", s.bearer()), refused)
	s.call("PUT", "/tokens/automation", `{"scopes": ["user:admin"]}`, nil)
	s.check(t, s.send("GET", path, s.bearer()), refused)
	s.call("PUT", "/tokens/automation", `{"scopes": ["org:admin"]}`, nil)
	s.call("PUT", "/organizations/acme", `{"admins": []}`, nil)
	s.check(t, s.send("GET", path, s.bearer()), refused)
}

func TestLastAccessedMovesByLoginsOnceInAThreshold(t *testing.T) {
	s := start(t)
	last := func() *time.Time { return s.robot("acme+puller").LastAccessed }
	login := func(scope string) { s.login("acme+puller", s.robot("acme+puller").Token, scope) }
	s.regenerate()
	s.send("GET", puller, s.bearer())
	s.login("acme+puller", "WRONG", "")
	if last() != nil {
		t.Error("moved by the API or by a login that was refused")
	}
	login("repository:acme/app:pull")
	first := last()
	if first == nil {
		t.Fatal("not moved by a pull's login")
	}
	login("")
	if again := last(); !again.Equal(*first) {
		t.Errorf("moved within a minute: %v, then %v", first, again)
	}
	s.call("PUT", "/robots/acme+puller", `{"lastAccessed": "`+time.Now().Add(-time.Minute).Format(time.RFC3339Nano)+`"}`, nil)
	login("")
	if again := last(); !again.After(*first) {
		t.Errorf("not moved after a minute: %v", again)
	}
	s.call("PUT", "/switches", `{"lastAccessedThreshold": "0s"}`, nil)
	before := last()
	login("")
	if again := last(); !again.After(*before) {
		t.Errorf("the threshold is still there: %v", again)
	}
	s.call("PUT", "/switches", `{"readOnly": true}`, nil)
	before = last()
	login("")
	if again := last(); !again.Equal(*before) {
		t.Error("moved in a read-only registry")
	}
	s.call("DELETE", "/switches", "", nil)
	for path, body := range map[string]map[string]any{
		"GET":        fields(t, s.send("GET", puller, s.bearer()).body),
		"regenerate": fields(t, s.regenerate().body),
	} {
		if body["last_accessed"] != *rfc2822(before) {
			t.Errorf("%s: %v, want %s", path, body["last_accessed"], *rfc2822(before))
		}
	}
}
