package main

import (
	"bytes"
	cryptorand "crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// User may own robots and grant API tokens.
type User struct {
	Name              string `json:"name"`
	Disabled          bool   `json:"disabled,omitempty"`
	Restricted        bool   `json:"restricted,omitempty"`        // may not regenerate own robots
	Superuser         bool   `json:"superuser,omitempty"`         // with full access
	ReadOnlySuperuser bool   `json:"readOnlySuperuser,omitempty"` // reads robots without tokens
}

// Organization owns robots and repositories.
type Organization struct {
	Name     string   `json:"name"`
	Admins   []string `json:"admins"`
	Members  []string `json:"members,omitempty"` // may list robots, without tokens
	Disabled bool     `json:"disabled,omitempty"`

	DefaultPermissions []DefaultPermission `json:"defaultPermissions,omitempty"`
}

// Robot is known by its full name, `owner+short`.
type Robot struct {
	Name            string     `json:"name"`
	Description     string     `json:"description,omitempty"`
	Created         time.Time  `json:"created"`
	LastAccessed    *time.Time `json:"lastAccessed,omitempty"`
	Token           string     `json:"token,omitempty"`
	TokenRowMissing bool       `json:"tokenRowMissing,omitempty"` // a damaged database: GET 500, POST repairs

	Federation []Federation `json:"federation,omitempty"`
	Teams      []string     `json:"teams,omitempty"` // of the organization; they give no rights here

	regenerations, uiRegenerations int
	committed                      time.Time
}

// Repository has permissions by robot: read, write or admin.
type Repository struct {
	Name        string            `json:"name"`
	Public      bool              `json:"public,omitempty"`
	Permissions map[string]string `json:"permissions,omitempty"`
}

// APIToken is an OAuth token that a user granted.
type APIToken struct {
	Name        string   `json:"name"`
	User        string   `json:"user"`
	Application string   `json:"application,omitempty"` // client id; by default "automation" of the user's organization
	Scopes      []string `json:"scopes"`
	Token       string   `json:"token,omitempty"`
	Expired     bool     `json:"expired,omitempty"`
	Deleted     bool     `json:"deleted,omitempty"`

	UUID         string     `json:"uuid,omitempty"`
	DisplayName  *string    `json:"displayName,omitempty"` // nothing: made in the web page
	Created      time.Time  `json:"created"`
	ExpiresAt    *time.Time `json:"expiresAt,omitempty"` // in real time; nothing: ten years after created
	LastAccessed *time.Time `json:"lastAccessed,omitempty"`

	id int
}

// WorldDefinition is a world in JSON, as a test writes and reads it.
type WorldDefinition struct {
	Users         []User         `json:"users"`
	Organizations []Organization `json:"organizations"`
	Robots        []Robot        `json:"robots"`
	Repositories  []Repository   `json:"repositories"`
	Applications  []Application  `json:"applications,omitempty"`
	Tokens        []APIToken     `json:"tokens"`
}

func defaultWorld() WorldDefinition {
	return WorldDefinition{
		Users:         []User{{Name: "admin"}},
		Organizations: []Organization{{Name: "acme", Admins: []string{"admin"}}},
		Robots:        []Robot{{Name: "acme+puller"}, {Name: "acme+standby"}, {Name: "acme+pusher"}, {Name: "admin+ci"}},
		Repositories: []Repository{{Name: "acme/app", Permissions: map[string]string{
			"acme+puller": "read", "acme+standby": "read", "acme+pusher": "write", "admin+ci": "read"}}},
		Tokens: []APIToken{{Name: "automation", User: "admin", Scopes: []string{"org:admin", "user:admin"}}},
	}
}

// World is what Quay's database holds. Safe for concurrent use.
type World struct {
	mu            sync.Mutex
	random        io.Reader
	users         map[string]User
	organizations map[string]Organization
	robots        map[string]*Robot
	repositories  map[string]Repository
	applications  map[string]Application // by client id
	tokens        map[string]*APIToken
	logs          map[string][]LogEntry
	lastID        int
	lastLog       int
}

var errNotFound = errors.New("not found")

// robotPart is what Quay takes as an organization's or a robot's short name.
var robotPart = regexp.MustCompile(`^[a-z0-9]+(?:[._-][a-z0-9]+)*$`)

func newWorld(seed uint64) *World {
	w := &World{random: cryptorand.Reader}
	if seed != 0 {
		var key [32]byte
		binary.LittleEndian.PutUint64(key[:], seed)
		w.random = rand.NewChaCha8(key)
	}
	w.clear()
	return w
}

func (w *World) clear() {
	w.users, w.organizations = map[string]User{}, map[string]Organization{}
	w.robots, w.repositories = map[string]*Robot{}, map[string]Repository{}
	w.applications, w.tokens, w.logs = map[string]Application{}, map[string]*APIToken{}, map[string][]LogEntry{}
}

// replace throws everything away and starts with d.
func (w *World) replace(d WorldDefinition) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clear()
	for _, user := range d.Users {
		w.users[user.Name] = user
	}
	for _, organization := range d.Organizations {
		w.organizations[organization.Name] = organization
	}
	for _, robot := range d.Robots {
		if err := w.putRobot(robot); err != nil {
			return err
		}
	}
	for _, repository := range d.Repositories {
		if err := w.putRepository(repository); err != nil {
			return err
		}
	}
	for _, application := range d.Applications {
		w.putApplication(application)
	}
	for _, token := range d.Tokens {
		if err := w.putToken(token); err != nil {
			return err
		}
	}
	return nil
}

func (w *World) definition() WorldDefinition {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := WorldDefinition{}
	for _, name := range sorted(w.users) {
		d.Users = append(d.Users, w.users[name])
	}
	for _, name := range sorted(w.organizations) {
		d.Organizations = append(d.Organizations, w.organizations[name])
	}
	for _, name := range sorted(w.robots) {
		d.Robots = append(d.Robots, *w.robots[name])
	}
	for _, name := range sorted(w.repositories) {
		d.Repositories = append(d.Repositories, w.repositories[name])
	}
	for _, id := range sorted(w.applications) {
		d.Applications = append(d.Applications, w.applications[id])
	}
	for _, name := range sorted(w.tokens) {
		d.Tokens = append(d.Tokens, *w.tokens[name])
	}
	return d
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// putRobot creates a robot, or changes it: a token of "" keeps the one it has. Called with mu held.
func (w *World) putRobot(robot Robot) error {
	owner, short, ok := strings.Cut(robot.Name, "+")
	if !ok || !robotPart.MatchString(short) {
		return fmt.Errorf("%q is no robot's full name", robot.Name)
	}
	if _, isUser := w.users[owner]; !isUser {
		if _, isOrganization := w.organizations[owner]; !isOrganization {
			return fmt.Errorf("robot %s: no user or organization %q", robot.Name, owner)
		}
	}
	if robot.Token == "" {
		robot.Token = w.newToken(64, upperAndDigits)
	}
	if robot.Created.IsZero() {
		robot.Created = time.Now()
	}
	w.robots[robot.Name] = &robot
	return nil
}

// removeRobot takes its permissions, default ones too, away: a new robot of the same name has none. Called with mu held.
func (w *World) removeRobot(name string) {
	delete(w.robots, name)
	w.removeDefaultPermissions(name)
	for repository, known := range w.repositories {
		known.Permissions = maps.Clone(known.Permissions) // others may be reading the old one
		delete(known.Permissions, name)
		w.repositories[repository] = known
	}
}

func (w *World) putRepository(repository Repository) error {
	owner, _, ok := strings.Cut(repository.Name, "/")
	if !ok || owner == "" {
		return fmt.Errorf("%q is no repository's name", repository.Name)
	}
	for robot, role := range repository.Permissions {
		if role != "read" && role != "write" && role != "admin" {
			return fmt.Errorf("repository %s: %s of %s is none of read, write, admin", repository.Name, role, robot)
		}
	}
	w.repositories[repository.Name] = repository
	return nil
}

func (w *World) putToken(token APIToken) error {
	if _, ok := w.users[token.User]; !ok {
		return fmt.Errorf("token %s: no user %q", token.Name, token.User)
	}
	if token.Token == "" {
		token.Token = w.newToken(40, upperAndDigits+"abcdefghijklmnopqrstuvwxyz")
	}
	if token.UUID == "" {
		token.UUID = w.newUUID()
	}
	if token.Created.IsZero() {
		token.Created = time.Now()
	}
	if token.Application == "" {
		token.Application = w.applicationFor(token.User)
	} else if _, ok := w.applications[token.Application]; !ok {
		return fmt.Errorf("token %s: no application of client id %q", token.Name, token.Application)
	}
	if token.id == 0 {
		w.lastID++
		token.id = w.lastID
	}
	w.tokens[token.Name] = &token
	return nil
}

const upperAndDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

func (w *World) newToken(length int, alphabet string) string {
	token := make([]byte, 0, length)
	fair := 256 / len(alphabet) * len(alphabet) // bytes from here on would favour some letters
	for random := make([]byte, 1); len(token) < length; {
		if _, err := io.ReadFull(w.random, random); err != nil {
			panic(err) // no randomness, no tokens
		}
		if int(random[0]) < fair {
			token = append(token, alphabet[int(random[0])%len(alphabet)])
		}
	}
	return string(token)
}

// fingerprint names a token without telling it.
func fingerprint(token string) string {
	if token == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(token))
	return "sha256:" + hex.EncodeToString(sum[:])[:16]
}

// commit is what a regeneration changed, and when the old token died.
type commit struct {
	robot         Robot
	before, after string
	at            time.Time
}

// regenerate overwrites a robot's token. The old one is dead when it returns, and not before.
func (w *World) regenerate(name string, fromUI bool) (commit, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	robot, ok := w.robots[name]
	if !ok {
		return commit{}, errNotFound
	}
	c := commit{before: fingerprint(robot.Token)}
	robot.Token, robot.TokenRowMissing = w.newToken(64, upperAndDigits), false
	if fromUI {
		robot.uiRegenerations++
	} else {
		robot.regenerations++
	}
	robot.committed = time.Now()
	c.robot, c.after, c.at = *robot, fingerprint(robot.Token), robot.committed
	return c, nil
}

func (w *World) robot(name string) (Robot, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	robot, ok := w.robots[name]
	if !ok {
		return Robot{}, false
	}
	return *robot, true
}

// robotsOf are the robots of a user or an organization, by name.
func (w *World) robotsOf(owner string) []Robot {
	w.mu.Lock()
	defer w.mu.Unlock()
	var robots []Robot
	for name, robot := range w.robots {
		if strings.HasPrefix(name, owner+"+") {
			robots = append(robots, *robot)
		}
	}
	slices.SortFunc(robots, func(a, b Robot) int { return strings.Compare(a.Name, b.Name) })
	return robots
}

// caller is who an API token speaks for.
type caller struct {
	token       APIToken
	application Application
	user        User
}

func (c caller) may(scope string) bool { return slices.Contains(c.token.Scopes, scope) }

// callerOf finds the living API token and its enabled user.
func (w *World) callerOf(token string) (caller, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for _, known := range w.tokens {
		if known.Token != token || !known.alive(now) {
			continue
		}
		user, ok := w.users[known.User]
		application, belongs := w.applications[known.Application]
		if !belongs { // the user has no organization
			application.Name = known.Name
		}
		return caller{*known, application, user}, ok && !user.Disabled
	}
	return caller{}, false
}

func (w *World) organization(name string) (Organization, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	organization, ok := w.organizations[name]
	return organization, ok
}

// ownerDisabled tells whether a robot's user or organization is disabled.
func (w *World) ownerDisabled(robot string) (owner string, disabled bool) {
	owner, _, _ = strings.Cut(robot, "+")
	w.mu.Lock()
	defer w.mu.Unlock()
	return owner, w.users[owner].Disabled || w.organizations[owner].Disabled
}

// actions are those of the wanted ones that robot ("" for nobody) has on a repository.
func (w *World) actions(robot, repository string, wanted []string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	granted := []string{}
	known, ok := w.repositories[repository]
	if !ok {
		return granted
	}
	role := known.Permissions[robot]
	for _, action := range []string{"push", "pull", "*"} {
		has := role == "admin" || (action == "pull" && (known.Public || role != "")) || (action == "push" && role == "write")
		if has && slices.Contains(wanted, action) {
			granted = append(granted, action)
		}
	}
	return granted
}

// accessed moves a robot's last_accessed, at most once in a threshold.
func (w *World) accessed(name string, threshold time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	robot, ok := w.robots[name]
	now := time.Now()
	if ok && (robot.LastAccessed == nil || now.Sub(*robot.LastAccessed) >= threshold) {
		robot.LastAccessed = &now
	}
}

// decodeStrictly refuses unknown fields: a misspelt one would make a test prove nothing.
func decodeStrictly(content []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}
