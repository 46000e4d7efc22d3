package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Application of an organization is what API tokens belong to.
type Application struct {
	ClientID     string `json:"clientID"`
	Organization string `json:"organization"`
	Name         string `json:"name"`
	Description  string `json:"description,omitempty"`
	ClientSecret string `json:"clientSecret,omitempty"`
}

// defaultApplication is the one that a token of the world belongs to when it names none.
const defaultApplication = "automation"

// putApplication completes an application. Called with mu held.
func (w *World) putApplication(application Application) Application {
	if application.ClientID == "" {
		application.ClientID = w.newToken(20, upperAndDigits)
	}
	if application.ClientSecret == "" {
		application.ClientSecret = w.newToken(40, upperAndDigits)
	}
	w.applications[application.ClientID] = application
	return application
}

// applicationFor finds or makes the default application of the first organization that a user owns; "" where
// there is none. Called with mu held.
func (w *World) applicationFor(user string) string {
	for _, name := range sorted(w.organizations) {
		if !slices.Contains(w.organizations[name].Admins, user) {
			continue
		}
		for _, application := range w.applicationsIn(name) {
			if application.Name == defaultApplication {
				return application.ClientID
			}
		}
		return w.putApplication(Application{Organization: name, Name: defaultApplication}).ClientID
	}
	return ""
}

// applicationsIn are those of an organization, by name. Called with mu held.
func (w *World) applicationsIn(organization string) []Application {
	var found []Application
	for _, application := range w.applications {
		if application.Organization == organization {
			found = append(found, application)
		}
	}
	slices.SortFunc(found, func(a, b Application) int { return strings.Compare(a.Name+"\x00"+a.ClientID, b.Name+"\x00"+b.ClientID) })
	return found
}

// removeApplication kills all its tokens. Called with mu held.
func (w *World) removeApplication(id string) {
	delete(w.applications, id)
	for _, token := range w.tokens {
		if token.Application == id {
			token.Deleted = true
		}
	}
}

// tenYears is what a token lives when nobody says otherwise, and at most.
const tenYears = 10 * 365 * 24 * time.Hour

// scopes are those that a token may have.
var scopes = []string{"repo:read", "repo:write", "repo:admin", "repo:create", "user:read", "user:admin", "org:admin", "super:user"}

// tokensPerPage is how many the list shows at once.
const tokensPerPage = 20

// tokenSchema is what Quay repeats in its error.
const tokenSchema = `{'type': 'object', 'description': 'Description of a new OAuth API token', 'required': ['name', 'scope'], 'properties': ` +
	`{'name': {'type': 'string', 'minLength': 1, 'maxLength': 255}, 'scope': {'type': 'string'}, 'expiration': {'type': 'number', 'minimum': 1}}}`

// applicationSchema is the same for an application.
const applicationSchema = `{'type': 'object', 'description': 'Description of a new organization application', 'required': ['name'], 'properties': {'name': {'type': 'string'}}}`

// applicationBody is an application as the API shows it: with its secret.
type applicationBody struct {
	Name         string  `json:"name"`
	Description  string  `json:"description"`
	URI          string  `json:"application_uri"`
	ClientID     string  `json:"client_id"`
	ClientSecret string  `json:"client_secret"`
	RedirectURI  string  `json:"redirect_uri"`
	AvatarEmail  *string `json:"avatar_email"`
}

func (a Application) body() applicationBody {
	return applicationBody{Name: a.Name, Description: a.Description, ClientID: a.ClientID, ClientSecret: a.ClientSecret}
}

// tokenBody is an API token as the API shows it; the token itself only once.
type tokenBody struct {
	UUID         string  `json:"uuid"`
	Name         *string `json:"name"`
	Scope        string  `json:"scope"`
	ExpiresAt    string  `json:"expires_at"`
	Created      string  `json:"created"`
	CreatedBy    string  `json:"created_by"`
	LastAccessed *string `json:"last_accessed"`
	Token        string  `json:"token,omitempty"`
}

func isoTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

func (t APIToken) body() tokenBody {
	b := tokenBody{UUID: t.UUID, Name: t.DisplayName, Scope: strings.Join(t.Scopes, " "), ExpiresAt: isoTime(t.expires()),
		Created: isoTime(t.Created), CreatedBy: t.User}
	if t.LastAccessed != nil {
		b.LastAccessed = new(isoTime(*t.LastAccessed))
	}
	return b
}

func (t APIToken) expires() time.Time {
	if t.ExpiresAt != nil {
		return *t.ExpiresAt
	}
	return t.Created.Add(tenYears)
}

// alive tells whether Quay still takes a token.
func (t APIToken) alive(now time.Time) bool {
	return !t.Expired && !t.Deleted && now.Before(t.expires())
}

// tokenAccessed moves a token's last_accessed, at most once in a threshold.
func (w *World) tokenAccessed(name string, threshold time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	token, ok := w.tokens[name]
	now := time.Now()
	if ok && (token.LastAccessed == nil || now.Sub(*token.LastAccessed) >= threshold) {
		token.LastAccessed = &now
	}
}

func notFound(host string) answer { return problem(host, 404, "not_found", "Not Found") }

// listApplications answers GET and POST of an organization's applications.
func (q *Quay) listApplications(x *exchange, organization string, switches Switches) answer {
	q.world.mu.Lock()
	defer q.world.mu.Unlock()
	if x.request.Method != http.MethodPost {
		bodies := []applicationBody{}
		for _, application := range q.world.applicationsIn(organization) {
			bodies = append(bodies, application.body())
		}
		return jsonAnswer(200, map[string][]applicationBody{"applications": bodies})
	}
	var wanted struct {
		Name        string `json:"name"`
		Description string `json:"description"`
	}
	if err := json.Unmarshal(x.body, &wanted); err != nil || wanted.Name == "" {
		return invalidRequest(x.request.Host, "'name' is a required property", applicationSchema)
	}
	made := q.world.putApplication(Application{Organization: organization, Name: wanted.Name, Description: wanted.Description})
	if switches.AuditLogBroken {
		return internalError()
	}
	return jsonAnswer(200, made.body())
}

// deleteApplication kills all tokens of the application.
func (q *Quay) deleteApplication(x *exchange, organization string, switches Switches) answer {
	q.world.mu.Lock()
	defer q.world.mu.Unlock()
	if application, ok := q.world.applications[x.route.client]; !ok || application.Organization != organization {
		return notFound(x.request.Host)
	}
	q.world.removeApplication(x.route.client)
	if switches.AuditLogBroken {
		return internalError()
	}
	return answer{status: 204, contentType: jsonType}
}

// applicationTokens answers GET, POST and DELETE of an application's tokens.
func (q *Quay) applicationTokens(x *exchange, organization string, who caller, switches Switches) answer {
	q.world.mu.Lock()
	application, ok := q.world.applications[x.route.client]
	q.world.mu.Unlock()
	if !ok || application.Organization != organization {
		return notFound(x.request.Host)
	}
	metadata := map[string]any{"application_name": application.Name, "client_id": application.ClientID}
	switch x.request.Method {
	case http.MethodPost:
		wanted, refusal := tokenOf(x, who)
		if refusal != nil {
			return *refusal
		}
		wanted.Application = application.ClientID
		made, ok := q.world.mint(wanted, switches.ApplicationTokenLimit)
		if !ok {
			return message(400, fmt.Sprintf("Token limit reached: maximum %d non-expired tokens per application", switches.ApplicationTokenLimit))
		}
		metadata["oauth_token_uuid"], metadata["scope"], metadata["token_display_name"] = made.UUID, strings.Join(made.Scopes, " "), *made.DisplayName
		body := made.body()
		body.Token = made.Token
		return q.written(x, organization, who, switches, "create_oauth_api_token", metadata, jsonAnswer(200, body))
	case http.MethodDelete:
		if !q.world.revoke(application.ClientID, x.route.uuid) {
			return notFound(x.request.Host)
		}
		metadata["oauth_token_uuid"] = x.route.uuid
		return q.written(x, organization, who, switches, "revoke_oauth_api_token", metadata, answer{status: 204, contentType: jsonType})
	}
	tokens := q.world.tokensOf(application.ClientID)
	if number, ok := before(x.request.URL.Query().Get("next_page")); ok {
		tokens = slices.DeleteFunc(tokens, func(t APIToken) bool { return t.id >= number })
	}
	page := tokens[:min(tokensPerPage, len(tokens))]
	bodies := []tokenBody{}
	for _, token := range page {
		bodies = append(bodies, token.body())
	}
	body := map[string]any{"tokens": bodies}
	if len(page) < len(tokens) {
		body["next_page"] = cursor(page[len(page)-1].id)
	}
	return jsonAnswer(200, body)
}

// tokenOf reads the body of a POST: a token of no more than the caller's own scopes.
func tokenOf(x *exchange, who caller) (APIToken, *answer) {
	refuse := func(a answer) (APIToken, *answer) { return APIToken{}, &a }
	malformed := func(text string) (APIToken, *answer) {
		return refuse(invalidRequest(x.request.Host, text, tokenSchema))
	}
	var body map[string]any
	if err := json.Unmarshal(x.body, &body); err != nil || body == nil {
		return malformed("The body is not of type 'object'")
	}
	for _, key := range []string{"name", "scope"} {
		if _, ok := body[key].(string); !ok {
			return malformed(fmt.Sprintf("'%s' is a required property", key))
		}
	}
	name := body["name"].(string)
	if length := utf8.RuneCountInString(name); length < 1 || length > 255 {
		return malformed("'name' has 1 to 255 characters")
	}
	lifetime := tenYears
	if given, ok := body["expiration"]; ok {
		seconds, isNumber := given.(float64)
		if !isNumber || seconds < 1 {
			return malformed("'expiration' is a number from 1")
		}
		if seconds < tenYears.Seconds() {
			lifetime = time.Duration(seconds * float64(time.Second))
		}
	}
	scope := body["scope"].(string)
	var wanted []string
	for _, one := range strings.FieldsFunc(scope, func(r rune) bool { return r == ' ' || r == ',' }) {
		if !slices.Contains(scopes, one) {
			return refuse(message(400, "Invalid scope: "+scope))
		}
		if !slices.Contains(wanted, one) {
			wanted = append(wanted, one)
		}
	}
	if len(wanted) == 0 {
		return refuse(message(400, "Invalid scope: "+scope))
	}
	for _, one := range wanted {
		if !who.may(one) || (one == "super:user" && !who.user.Superuser) {
			return refuse(unauthorizedFor(x.request.Host))
		}
	}
	now := time.Now()
	return APIToken{User: who.user.Name, Scopes: wanted, DisplayName: &name, Created: now, ExpiresAt: new(now.Add(lifetime))}, nil
}

// mint adds a token unless its application has limit (0: none) living ones already.
func (w *World) mint(token APIToken, limit int) (APIToken, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if limit > 0 && len(w.livingTokens(token.Application)) >= limit {
		return APIToken{}, false
	}
	token.UUID = w.newUUID()
	token.Name = *token.DisplayName
	if _, taken := w.tokens[token.Name]; taken {
		token.Name += "-" + token.UUID
	}
	if err := w.putToken(token); err != nil {
		panic(err) // the caller is a user, the application was found
	}
	return *w.tokens[token.Name], true
}

// revoke ends a living token; false where there is none.
func (w *World) revoke(application, uuid string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, token := range w.tokens {
		if token.Application == application && token.UUID == uuid && !token.Deleted {
			token.Deleted = true
			return true
		}
	}
	return false
}

// tokensOf are an application's living tokens, the newest first.
func (w *World) tokensOf(application string) []APIToken {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.livingTokens(application)
}

func (w *World) livingTokens(application string) []APIToken {
	var found []APIToken
	now := time.Now()
	for _, token := range w.tokens {
		if token.Application == application && token.alive(now) {
			found = append(found, *token)
		}
	}
	slices.SortFunc(found, func(a, b APIToken) int { return b.id - a.id })
	return found
}

func (w *World) newUUID() string {
	const hexadecimal = "0123456789abcdef"
	return strings.Join([]string{w.newToken(8, hexadecimal), w.newToken(4, hexadecimal), "4" + w.newToken(3, hexadecimal),
		w.newToken(1, "89ab") + w.newToken(3, hexadecimal), w.newToken(12, hexadecimal)}, "-")
}
