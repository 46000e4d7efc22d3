package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"
)

// Duration is written "200ms" in JSON.
type Duration time.Duration

func (d Duration) String() string { return time.Duration(d).String() }

func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

func (d *Duration) UnmarshalJSON(content []byte) error {
	var text string
	if err := json.Unmarshal(content, &text); err != nil {
		return errors.New(`a duration is written "200ms"`)
	}
	parsed, err := time.ParseDuration(text)
	*d = Duration(parsed)
	return err
}

// RateLimit is nginx's limit of API calls and logins.
type RateLimit struct {
	RequestsPerSecond float64 `json:"requestsPerSecond"`
	Burst             int     `json:"burst"`
}

// Switches are states of the whole installation that last until changed.
type Switches struct {
	ReadOnly         bool       `json:"readOnly"`         // registry_state readonly: POST 503
	AuditLogBroken   bool       `json:"auditLogBroken"`   // POST 500 HTML after the commit, good login 500
	DatabaseLocked   bool       `json:"databaseLocked"`   // POST 500 after a wait, unchanged; good login 504
	LockedWait       Duration   `json:"lockedWait"`       // of that POST, really 10 s
	LockedLoginWait  Duration   `json:"lockedLoginWait"`  // of that login, really 60 s
	RobotsDisallowed bool       `json:"robotsDisallowed"` // ROBOTS_DISALLOW: refuses logins, not regenerate
	RobotsWhitelist  []string   `json:"robotsWhitelist"`
	NoRobotsAPI      bool       `json:"noRobotsAPI"`  // the mirror registry: 404 {"error": "not found"}
	Before318        bool       `json:"before318"`    // no application tokens and no federation of users' robots: unknown paths
	Unhealthy        bool       `json:"unhealthy"`    // /health/instance 503
	Latency          Duration   `json:"latency"`      // of an API call with a living token, really 200ms
	LoginLatency     Duration   `json:"loginLatency"` // of a good login, really 45ms to 80ms
	RateLimit        *RateLimit `json:"rateLimit"`
	Certificate      string     `json:"certificate"` // good, wrong-host, unknown-ca, expired
	Refuse           bool       `json:"refuse"`      // no listener, and open connections are cut
	Registry         string     `json:"registry"`    // base URL of the docker-registry; "" for none

	ApplicationTokenLimit  int      `json:"applicationTokenLimit"`  // OAUTH_APPLICATION_MAXIMUM_TOKEN_COUNT, 0: none
	LastAccessedThreshold  Duration `json:"lastAccessedThreshold"`  // last_accessed moves no more often, really 1m
	IssuerCA               string   `json:"issuerCA"`               // file of the CA of federations' issuers, besides the system's
	FederatedTokenLifetime Duration `json:"federatedTokenLifetime"` // of tokens that are made from now on, really 1h
}

func defaultSwitches() Switches {
	return Switches{Certificate: "good", LockedWait: Duration(10 * time.Second), LockedLoginWait: Duration(60 * time.Second),
		LastAccessedThreshold: Duration(time.Minute), FederatedTokenLifetime: Duration(time.Hour)}
}

func (s Switches) check() error {
	if s.Registry != "" {
		if u, err := url.Parse(s.Registry); err != nil || u.Host == "" {
			return fmt.Errorf("registry %q is no base URL", s.Registry)
		}
	}
	if s.IssuerCA != "" {
		if _, err := issuerClient(s.IssuerCA); err != nil {
			return fmt.Errorf("issuerCA: %w", err)
		}
	}
	if s.RateLimit != nil && (s.RateLimit.RequestsPerSecond <= 0 || s.RateLimit.Burst < 1) {
		return errors.New("a rate limit needs requestsPerSecond above 0 and a burst of 1 at least")
	}
	return nil
}

// Panel holds the switches and the bucket of the rate limit. Safe for concurrent use.
type Panel struct {
	mu       sync.Mutex
	switches Switches
	apply    func(Switches) error // makes the outside world follow
	tokens   float64
	filled   time.Time
}

func (p *Panel) get() Switches {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.switches
}

// change keeps the old switches when the new ones are refused.
func (p *Panel) change(change func(*Switches) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := p.switches
	if err := change(&next); err != nil {
		return err
	}
	if err := p.apply(next); err != nil {
		return err
	}
	if next.RateLimit != nil && next.RateLimit != p.switches.RateLimit {
		p.tokens, p.filled = float64(next.RateLimit.Burst), time.Now()
	}
	p.switches = next
	return nil
}

// admits takes one request out of the rate limit's bucket.
func (p *Panel) admits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := p.switches.RateLimit
	if limit == nil {
		return true
	}
	now := time.Now()
	p.tokens = min(float64(limit.Burst), p.tokens+now.Sub(p.filled).Seconds()*limit.RequestsPerSecond)
	p.filled = now
	if p.tokens < 1 {
		return false
	}
	p.tokens--
	return true
}
