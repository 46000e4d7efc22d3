package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

const acmeLogs = "/api/v1/organization/acme/logs"

// logPage is an answer of the logs.
type logPage struct {
	Start    string     `json:"start_time"`
	End      string     `json:"end_time"`
	Logs     []LogEntry `json:"logs"`
	NextPage *string    `json:"next_page"`
}

func (s *simulator) logs(path string) logPage {
	s.t.Helper()
	r := s.send("GET", path, s.bearer())
	var page logPage
	if err := json.Unmarshal(r.body, &page); err != nil || r.StatusCode != 200 {
		s.t.Fatalf("GET %s: %d %v", path, r.StatusCode, err)
	}
	return page
}

// anEntry writes a line of acme's log with a time.
func (s *simulator) anEntry(kind, by string, at time.Time) {
	s.t.Helper()
	s.call("POST", "/logs/acme", fmt.Sprintf(`{"kind": %q, "performer": %q, "time": %q}`, kind, by, at.Format(time.RFC3339)), nil)
}

func TestTheLogTellsAPersonFromAnAPIToken(t *testing.T) {
	s := start(t)
	s.call("POST", "/robots/acme+puller/regenerate?by=admin", "", nil)
	s.regenerate()
	s.login("acme+puller", s.robot("acme+puller").Token, "repository:acme/app:pull")
	s.login("acme+puller", s.robot("acme+puller").Token, "")
	var token APIToken
	s.call("GET", "/tokens/automation", "", &token)
	entries := s.logs(acmeLogs).Logs
	if len(entries) != 3 {
		t.Fatalf("%+v", entries)
	}
	login, api, person := entries[0], entries[1], entries[2]
	if login.Kind != "login_success" || !login.Performer.IsRobot || login.Performer.Name != "acme+puller" || login.Metadata["robot"] != "acme+puller" {
		t.Errorf("login: %+v", login)
	}
	if api.Kind != "regenerate_robot_token" || api.Metadata["robot"] != "puller" || api.Metadata["oauth_token_application"] != "automation" ||
		api.Metadata["oauth_token_application_id"] != token.Application || api.Metadata["oauth_token_id"] == nil ||
		api.Performer.Name != "admin" || api.Performer.IsRobot || api.IP != "127.0.0.1" ||
		!regexp.MustCompile(`^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d -0000$`).MatchString(api.Datetime) {
		t.Errorf("by the API: %+v", api)
	}
	if len(person.Metadata) != 1 || person.Metadata["robot"] != "puller" || person.Performer.Name != "admin" {
		t.Errorf("by hand: %+v", person)
	}
}

func TestTwoTokensOfOneApplicationDifferInTheirNumberOnly(t *testing.T) {
	s := start(t)
	s.regenerate()
	var second APIToken
	s.call("PUT", "/tokens/second", `{"user": "admin", "scopes": ["org:admin"]}`, &second)
	s.token = second.Token
	s.regenerate()
	entries := s.logs(acmeLogs).Logs
	a, b := entries[0].Metadata, entries[1].Metadata
	if a["oauth_token_id"] == b["oauth_token_id"] || a["oauth_token_application_id"] != b["oauth_token_application_id"] {
		t.Errorf("%v, %v", a, b)
	}
}

func TestLogsPageByTwentyAndTheLastPageIsEmpty(t *testing.T) {
	s := start(t)
	for range 21 {
		s.regenerate()
	}
	first := s.logs(acmeLogs)
	if len(first.Logs) != 20 || first.NextPage == nil {
		t.Fatalf("first page: %d", len(first.Logs))
	}
	s.regenerate() // a newer entry does not move the pages
	second := s.logs(acmeLogs + "?next_page=" + *first.NextPage)
	if len(second.Logs) != 1 || second.NextPage == nil {
		t.Fatalf("second page: %d entries", len(second.Logs))
	}
	if third := s.logs(acmeLogs + "?next_page=" + *second.NextPage); len(third.Logs) != 0 || third.NextPage != nil || third.Logs == nil {
		t.Errorf("third page: %+v", third)
	}
	for _, garbage := range []string{"x", "-1", "gAAAAAB", "gAAAAAB%25"} {
		if page := s.logs(acmeLogs + "?next_page=" + garbage); len(page.Logs) != 20 {
			t.Errorf("next_page=%s: %d entries", garbage, len(page.Logs))
		}
	}
}

func TestLogsOfDaysAndOfAPerformer(t *testing.T) {
	s := start(t)
	now := time.Now().UTC()
	day := func(days int) string { return now.AddDate(0, 0, days).Format("01/02/2006") }
	lastWeek := now.AddDate(0, 0, -7).Truncate(24 * time.Hour)
	s.anEntry("a", "admin", lastWeek)
	s.anEntry("b", "acme+puller", lastWeek.Add(24*time.Hour-time.Second))
	s.anEntry("c", "admin", lastWeek.Add(24*time.Hour))
	s.anEntry("d", "", now)
	for _, row := range []struct{ query, want string }{
		{"", "d"},
		{"?starttime=bad&endtime=bad", "d"},
		{"?starttime=" + day(-7) + "&endtime=" + day(-7), "b a"},
		{"?starttime=" + day(-7), "d c b a"},
		{"?starttime=" + day(-7) + "&endtime=" + day(-6), "c b a"},
		{"?starttime=" + day(-7) + "&performer=admin", "c a"},
		{"?starttime=" + day(-7) + "&performer=acme%2Bpuller", "b"},
		{"?starttime=" + day(-20) + "&endtime=" + day(-19), ""},
	} {
		var kinds []string
		for _, entry := range s.logs(acmeLogs + row.query).Logs {
			kinds = append(kinds, entry.Kind)
		}
		if got := strings.Join(kinds, " "); got != row.want {
			t.Errorf("%s: %q, want %q", row.query, got, row.want)
		}
	}
	page := s.logs(acmeLogs)
	from, err := time.Parse("Mon, 02 Jan 2006 15:04:05 -0700", page.Start)
	to, failed := time.Parse("Mon, 02 Jan 2006 15:04:05 -0700", page.End)
	if err != nil || failed != nil || to.Sub(from) != 48*time.Hour {
		t.Errorf("without times: %s to %s", page.Start, page.End)
	}
	if page.Logs[0].Performer != nil {
		t.Errorf("an entry of nobody has a performer: %+v", page.Logs[0])
	}
	s.check(t, s.send("GET", acmeLogs+"?performer=nobody", s.bearer()), expected{500, "text/html", ""})
}

func TestWhoMayReadWhichLogs(t *testing.T) {
	refused := expected{403, "application/json", insufficientScope}
	for _, row := range []struct {
		name, scopes string
		prepare      string
		path         string
		want         expected // status 200: whatever the body is
	}{
		{"org", `"org:admin"`, "", acmeLogs, expected{status: 200}},
		{"both", `"org:admin", "user:admin"`, "", acmeLogs, expected{status: 200}},
		{"user", `"user:admin"`, "", acmeLogs, refused},
		{"repo:admin", `"repo:admin"`, "", acmeLogs, refused},
		{"other", `"org:admin"`, `/organizations/acme {"admins": []}`, acmeLogs, refused},
		{"super", `"super:user"`, `/users/admin {"superuser": true}`, acmeLogs, refused},
		{"org, by day", `"org:admin"`, "", "/api/v1/organization/acme/aggregatelogs", expected{status: 200}},
		{"user, by day", `"user:admin"`, "", "/api/v1/organization/acme/aggregatelogs", refused},
		{"user, own", `"user:admin"`, "", "/api/v1/user/logs", expected{status: 200}},
		{"org, own", `"org:admin"`, "", "/api/v1/user/logs", refused},
		{"super, everything", `"super:user"`, `/users/admin {"superuser": true}`, "/api/v1/superuser/logs", expected{status: 200}},
		{"super of nobody, everything", `"super:user"`, "", "/api/v1/superuser/logs", refused},
		{"org, everything", `"org:admin"`, `/users/admin {"superuser": true}`, "/api/v1/superuser/logs", refused},
		{"expired", `"org:admin"`, `/tokens/automation {"expired": true}`, acmeLogs, expected{401, "application/json", invalidToken}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.prepare(row.scopes, row.prepare)
			r := s.send("GET", row.path, s.bearer())
			if row.want.status != 200 {
				s.check(t, r, row.want)
			} else if r.StatusCode != 200 {
				t.Errorf("%d", r.StatusCode)
			}
		})
	}
}

func TestTheLogOfAUserAndOfEveryNamespace(t *testing.T) {
	s := start(t)
	s.call("PUT", "/users/admin", `{"superuser": true}`, nil)
	s.call("PUT", "/tokens/automation", `{"scopes": ["user:admin", "org:admin", "super:user"]}`, nil)
	s.send("POST", "/api/v1/user/robots/ci/regenerate", s.bearer())
	s.regenerate()
	if own := s.logs("/api/v1/user/logs").Logs; len(own) != 1 || own[0].Metadata["robot"] != "ci" || own[0].Namespace != nil {
		t.Errorf("own: %+v", own)
	}
	all := s.logs("/api/v1/superuser/logs").Logs
	if len(all) != 2 || all[0].Namespace.Name != "acme" || all[0].Namespace.Kind != "org" || all[1].Namespace.Name != "admin" || all[1].Namespace.Kind != "user" {
		t.Errorf("all: %+v", all)
	}
}

func TestAggregateLogsCountByDayAndKind(t *testing.T) {
	s := start(t)
	yesterday := time.Now().UTC().AddDate(0, 0, -1).Truncate(24 * time.Hour)
	s.anEntry("regenerate_robot_token", "admin", yesterday)
	s.anEntry("login_success", "acme+puller", yesterday.Add(time.Hour))
	s.anEntry("regenerate_robot_token", "admin", yesterday.Add(2*time.Hour))
	day := yesterday.Format("01/02/2006")
	count := func(kind string, n int) string {
		return fmt.Sprintf(`{"kind": %q, "count": %d, "datetime": %q}`, kind, n, *rfc2822(&yesterday))
	}
	path := "/api/v1/organization/acme/aggregatelogs?starttime=" + day + "&endtime=" + day
	s.check(t, s.send("GET", path, s.bearer()), expected{200, "application/json",
		`{"aggregated": [` + count("login_success", 1) + "," + count("regenerate_robot_token", 2) + `]}`})
	s.check(t, s.send("GET", path+"&performer=admin", s.bearer()), expected{200, "application/json",
		`{"aggregated": [` + count("regenerate_robot_token", 2) + `]}`})
	s.check(t, s.send("GET", path+"&performer=nobody", s.bearer()), expected{500, "text/html", ""})
	s.check(t, s.send("GET", "/api/v1/organization/acme/aggregatelogs?starttime=01/01/2001&endtime=01/01/2001", s.bearer()),
		expected{200, "application/json", `{"aggregated": []}`})
}
