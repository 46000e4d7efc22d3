package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Quay is the whole simulator. Each part guards itself; requests run side by side as in Quay.
type Quay struct {
	options      options
	world        *World
	signer       *Signer
	certificates *Certificates
	journal      *Journal
	faults       *Faults
	switches     *Panel
	front        *front

	done     chan struct{}
	shutOnce sync.Once
}

func newQuay(world *World, signer *Signer, certificates *Certificates, o options) *Quay {
	q := &Quay{options: o, world: world, signer: signer, certificates: certificates, journal: newJournal(), done: make(chan struct{})}
	q.faults = newFaults(q.done)
	q.switches = &Panel{switches: defaultSwitches(), apply: q.follow}
	return q
}

// follow makes the listener and its certificate follow the switches.
func (q *Quay) follow(s Switches) error {
	if err := s.check(); err != nil {
		return err
	}
	if err := q.certificates.show(s.Certificate); err != nil {
		return err
	}
	switch {
	case q.front == nil:
		return nil
	case s.Refuse:
		return q.front.refuse()
	default:
		return q.front.reopen()
	}
}

func (q *Quay) shutdown() { q.shutOnce.Do(func() { close(q.done) }) }

// description is the ready line and the answer to GET / on the control socket.
type description struct {
	URL                string `json:"url"`
	Control            string `json:"control"`
	CA                 string `json:"ca,omitempty"`
	OtherCA            string `json:"otherCA"`
	SigningCertificate string `json:"signingCertificate"`
	Issuer             string `json:"issuer"`
	Service            string `json:"service"`
	Realm              string `json:"realm"`
}

func (q *Quay) describe() description {
	address := q.front.address.String()
	if q.front.address.IP.IsUnspecified() {
		address = "localhost:" + strconv.Itoa(q.front.address.Port)
	}
	d := description{URL: "https://" + address, Control: q.options.control, CA: q.certificates.caFile, OtherCA: q.certificates.otherCA,
		SigningCertificate: q.signer.certificateFile, Issuer: q.options.issuer, Service: q.options.service}
	if d.Service == "" {
		d.Service = address
	}
	d.Realm = d.URL + "/v2/auth"
	return d
}

// pause waits in real time, or until the program ends.
func (q *Quay) pause(d Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(time.Duration(d))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-q.done:
	}
}

// exchange is one request on its way through.
type exchange struct {
	request *http.Request
	entry   *Entry
	route   route
	routed  bool
	proxied bool // the docker-registry answers
	body    []byte
	started time.Time
}

func (x *exchange) ip() string {
	host, _, _ := net.SplitHostPort(x.request.RemoteAddr)
	return host
}

// open recognises a request and begins its journal entry.
func (q *Quay) open(r *http.Request) *exchange {
	x := &exchange{request: r, started: time.Now()}
	entry := Entry{Method: r.Method, Path: r.URL.Path, Query: withoutSecrets(r.URL.Query()), UserAgent: r.UserAgent(), Endpoint: "other"}
	path := r.URL.Path
	switch {
	case strings.HasPrefix(path, "/api/"):
		if x.route, x.routed = q.routeOf(path); x.routed {
			entry.Endpoint = x.route.endpoint
			entry.Robot = x.route.robot
			owner := x.route.organization
			if owner == "" {
				if who, known, _ := q.authenticate(r.Header.Get("Authorization")); known {
					owner = who.user.Name
				}
			}
			if x.route.short != "" {
				entry.Robot = owner + "+" + x.route.short
			}
		}
	case path == "/oauth2/federation/robot/token":
		entry.Endpoint = "federation-exchange"
		entry.Robot, _, _ = r.BasicAuth()
	case path == "/v2/auth":
		entry.Endpoint = "auth"
		entry.Robot, _, _ = r.BasicAuth()
	case path == "/v2/" || path == "/v2":
		entry.Endpoint, x.proxied = "v2-challenge", q.switches.get().Registry != ""
	case strings.HasPrefix(path, "/v2/"):
		entry.Endpoint, x.proxied = "registry", true
	case path == "/config":
		entry.Endpoint = "config"
	case path == "/health/instance":
		entry.Endpoint = "health"
	}
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); x.proxied && strings.EqualFold(scheme, "Bearer") {
		c, _ := claimsOf(strings.TrimSpace(token))
		entry.Robot = c.Subject
	}
	x.entry = q.journal.begin(entry)
	return x
}

func (q *Quay) serve(w http.ResponseWriter, r *http.Request) {
	x := q.open(r)
	defer func() {
		q.journal.note(x.entry, func(e *Entry) { e.Done, e.DurationNs = true, time.Since(x.started).Nanoseconds() })
	}()
	if !x.proxied {
		x.body, _ = io.ReadAll(io.LimitReader(r.Body, 1<<20))
	}
	limited := strings.HasPrefix(r.URL.Path, "/api/") || r.URL.Path == "/v2/auth"
	if limited {
		w.Header().Set("Connection", "close")
		if !q.switches.admits() {
			q.send(w, x, htmlAnswer(429, "Too Many Requests"))
			return
		}
	}
	if fault := q.faults.claim(x); fault != nil {
		q.journal.note(x.entry, func(e *Entry) { e.Fault = fault.Action })
		q.strike(w, x, fault)
		return
	}
	if x.proxied {
		q.proxy(&statusWriter{ResponseWriter: w, quay: q, x: x}, r)
		return
	}
	q.send(w, x, q.answer(x))
}

// answer lets the request take effect.
func (q *Quay) answer(x *exchange) answer {
	if x.proxied {
		buffer := &buffer{header: http.Header{}, status: 200}
		q.proxy(buffer, x.request)
		contentType := buffer.header.Get("Content-Type")
		buffer.header.Del("Content-Type")
		buffer.header.Del("Content-Length")
		return answer{status: buffer.status, contentType: contentType, header: buffer.header, body: buffer.Bytes()}
	}
	switches := q.switches.get()
	switch x.entry.Endpoint {
	case "auth":
		return q.registryAuth(x)
	case "federation-exchange":
		return q.exchangeToken(x, switches)
	case "v2-challenge":
		return q.registryRoot(x)
	case "config":
		state := "normal"
		if switches.ReadOnly {
			state = "readonly"
		}
		return jsonAnswer(200, map[string]any{"registry_state": state, "config": map[string]any{"SERVER_HOSTNAME": x.request.Host}, "features": map[string]any{}})
	case "health":
		status, healthy := 200, !switches.Unhealthy
		if !healthy {
			status = 503
		}
		return jsonAnswer(status, map[string]any{"data": map[string]any{"services": map[string]bool{"database": healthy, "registry_gunicorn": true, "web_gunicorn": true}}, "status_code": status})
	}
	if strings.HasPrefix(x.request.URL.Path, "/api/") {
		return q.api(x)
	}
	return htmlAnswer(404, "Not Found")
}

// send writes an answer as it is.
func (q *Quay) send(w http.ResponseWriter, x *exchange, a answer) {
	q.journal.note(x.entry, func(e *Entry) { e.Status = a.status })
	q.head(w, a)
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	w.Write(a.body)
}

func (q *Quay) head(w http.ResponseWriter, a answer) {
	header := w.Header()
	header.Set("Server", "nginx/1.22.1")
	header["Content-Type"] = nil // or Go would guess one
	if a.contentType != "" {
		header.Set("Content-Type", a.contentType)
	}
	for name, values := range a.header {
		header[name] = values
	}
}

// strike does what the fault says.
func (q *Quay) strike(w http.ResponseWriter, x *exchange, f *Fault) {
	switch f.Action {
	case "delay-before":
		q.pause(f.Delay)
		q.send(w, x, q.answer(x))
	case "delay-after":
		a := q.answer(x)
		q.pause(f.Delay)
		q.send(w, x, a)
	case "reset-before":
		reset(w)
	case "reset-after":
		q.answer(x)
		reset(w)
	case "half-body":
		a := q.answer(x)
		q.journal.note(x.entry, func(e *Entry) { e.Status = a.status })
		q.head(w, a)
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
		w.WriteHeader(a.status)
		w.Write(a.body[:len(a.body)/2])
		http.NewResponseController(w).Flush()
		reset(w)
	case "drip":
		q.drip(w, x, q.answer(x), f.Delay)
	case "hold":
		q.faults.hold(f, x.entry.Sequence, "before")
		a := q.answer(x)
		q.faults.hold(f, x.entry.Sequence, "after")
		q.send(w, x, a)
	case "commit-late":
		select {
		case <-x.request.Context().Done():
		case <-q.done:
			return
		}
		q.pause(f.Delay)
		q.answer(x)
	default:
		var real answer
		if f.takesEffect() {
			real = q.answer(x)
		}
		if f.Action == "huge-body" {
			q.flood(w, x, f.Bytes)
			return
		}
		q.send(w, x, f.replace(real, x.request))
	}
}

// drip sends the body byte by byte.
func (q *Quay) drip(w http.ResponseWriter, x *exchange, a answer, delay Duration) {
	q.journal.note(x.entry, func(e *Entry) { e.Status = a.status })
	q.head(w, a)
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	for i := range a.body {
		if _, err := w.Write(a.body[i : i+1]); err != nil || x.request.Context().Err() != nil {
			return
		}
		http.NewResponseController(w).Flush()
		q.pause(delay)
	}
}

// flood sends a JSON string that does not end for a long time.
func (q *Quay) flood(w http.ResponseWriter, x *exchange, size int64) {
	if size <= 0 {
		size = 64 << 20
	}
	q.journal.note(x.entry, func(e *Entry) { e.Status = 200 })
	q.head(w, answer{contentType: jsonType})
	w.WriteHeader(200)
	chunk := []byte(strings.Repeat("x", 64<<10))
	for _, err := io.WriteString(w, `{"name": "`); size > 0 && err == nil; size -= int64(len(chunk)) {
		_, err = w.Write(chunk[:min(size, int64(len(chunk)))])
	}
	io.WriteString(w, `"}`)
}

// proxy hands a request to the docker-registry.
func (q *Quay) proxy(w http.ResponseWriter, r *http.Request) {
	target, err := url.Parse(q.switches.get().Registry)
	if err == nil && target.Host == "" {
		err = errors.New("no registry")
	}
	if err != nil {
		w.Header().Set("Content-Type", htmlType)
		w.WriteHeader(502)
		w.Write(htmlAnswer(502, "Quay Loading").body)
		return
	}
	proxy := httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			p.Out.Host = p.In.Host // so that the registry's links lead back here
			p.Out.Header.Set("X-Forwarded-Proto", "https")
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.Header().Set("Content-Type", htmlType)
			w.WriteHeader(502)
			w.Write(htmlAnswer(502, "Quay Loading").body)
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	proxy.ServeHTTP(w, r)
}

// statusWriter tells the journal the status of a proxied response.
type statusWriter struct {
	http.ResponseWriter
	quay *Quay
	x    *exchange
}

func (s *statusWriter) WriteHeader(status int) {
	s.quay.journal.note(s.x.entry, func(e *Entry) { e.Status = status })
	s.ResponseWriter.WriteHeader(status)
}

func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// buffer keeps a proxied response for a fault to change.
type buffer struct {
	bytes.Buffer
	header http.Header
	status int
}

func (b *buffer) Header() http.Header    { return b.header }
func (b *buffer) WriteHeader(status int) { b.status = status }

// servePlain answers HTTP without TLS: a redirect that loses the port, as Quay's nginx does.
func (q *Quay) servePlain(w http.ResponseWriter, r *http.Request) {
	entry := q.journal.begin(Entry{Method: r.Method, Path: r.URL.Path, Query: withoutSecrets(r.URL.Query()),
		UserAgent: r.UserAgent(), Endpoint: "plain-http", Done: true})
	q.send(w, &exchange{request: r, entry: entry},
		redirect(301, fmt.Sprintf("https://%s%s", hostWithoutPort(r.Host), r.URL.RequestURI())))
}

func hostWithoutPort(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}
