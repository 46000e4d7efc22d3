package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

// front is the listener: one port for TLS and for plain HTTP, which is told by the first byte. It can
// stop listening and come back on the same port.
type front struct {
	quay    *Quay
	address *net.TCPAddr
	secure  *queue
	plain   *queue
	servers []*http.Server

	mu          sync.Mutex
	listener    net.Listener // nil while connections are refused
	reserved    int          // socket that keeps the port then
	connections map[*connection]struct{}
}

func newFront(listen string, quay *Quay) (*front, error) {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	address := listener.Addr().(*net.TCPAddr)
	f := &front{quay: quay, address: address, listener: listener, connections: map[*connection]struct{}{},
		secure: newQueue(address), plain: newQueue(address)}
	silent := log.New(io.Discard, "", 0) // failed handshakes are in the journal
	for into, handler := range map[*queue]http.HandlerFunc{f.secure: quay.serve, f.plain: quay.servePlain} {
		server := &http.Server{Handler: handler, ErrorLog: silent}
		f.servers = append(f.servers, server)
		go server.Serve(into)
	}
	go f.accept(listener)
	return f, nil
}

func (f *front) accept(listener net.Listener) {
	for {
		raw, err := listener.Accept()
		if err != nil {
			return
		}
		c := &connection{TCPConn: raw.(*net.TCPConn), reader: bufio.NewReader(raw), front: f}
		f.mu.Lock()
		refused := f.listener != listener
		if !refused {
			f.connections[c] = struct{}{}
		}
		f.mu.Unlock()
		if refused {
			raw.Close()
			continue
		}
		go f.sort(c)
	}
}

// sort looks at the first byte: a TLS handshake begins with 22, no HTTP request does.
func (f *front) sort(c *connection) {
	first, err := c.reader.Peek(1)
	if err != nil {
		c.Close()
		return
	}
	if first[0] != 22 {
		f.plain.put(c)
		return
	}
	secured := tls.Server(c, f.quay.certificates.configuration())
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := secured.HandshakeContext(ctx); err != nil {
		f.quay.journal.begin(Entry{Endpoint: "tls-handshake", Done: true, Error: err.Error()})
		c.Close()
		return
	}
	f.secure.put(secured)
}

// refuse closes the listener and cuts every connection; the port stays ours.
func (f *front) refuse() error {
	f.mu.Lock()
	if f.listener == nil {
		f.mu.Unlock()
		return nil
	}
	f.listener.Close()
	f.listener = nil
	var cut []*connection
	for c := range f.connections {
		cut = append(cut, c)
	}
	var err error
	f.reserved, err = reserve(f.address)
	f.mu.Unlock()
	for _, c := range cut {
		c.Close()
	}
	return err
}

// reopen listens again on the same port.
func (f *front) reopen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listener != nil {
		return nil
	}
	if err := syscall.Listen(f.reserved, 1024); err != nil {
		return err
	}
	file := os.NewFile(uintptr(f.reserved), "listener")
	defer file.Close()
	listener, err := net.FileListener(file)
	if err != nil {
		return err
	}
	f.listener = listener
	go f.accept(listener)
	return nil
}

// reserve binds a socket without listening: connections are refused and nobody else gets the port.
func reserve(address *net.TCPAddr) (int, error) {
	family, to := syscall.AF_INET6, syscall.Sockaddr(nil)
	if ip := address.IP.To4(); ip != nil {
		family, to = syscall.AF_INET, &syscall.SockaddrInet4{Port: address.Port, Addr: [4]byte(ip)}
	} else {
		to = &syscall.SockaddrInet6{Port: address.Port, Addr: [16]byte(address.IP.To16())}
	}
	socket, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, err
	}
	if err := syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, err
	}
	return socket, syscall.Bind(socket, to)
}

func (f *front) close() {
	for _, server := range f.servers {
		server.Close()
	}
	f.refuse()
}

// connection is a TCP connection whose first byte was looked at.
type connection struct {
	*net.TCPConn
	reader *bufio.Reader
	front  *front
}

func (c *connection) Read(into []byte) (int, error) { return c.reader.Read(into) }

func (c *connection) Close() error {
	c.front.mu.Lock()
	delete(c.front.connections, c)
	c.front.mu.Unlock()
	return c.TCPConn.Close()
}

// reset ends the connection under a response with RST, without TLS's good-bye.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	c := conn.(*connection)
	c.SetLinger(0)
	c.Close()
}

// queue is a net.Listener that is fed with connections.
type queue struct {
	address net.Addr
	waiting chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func newQueue(address net.Addr) *queue {
	return &queue{address: address, waiting: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *queue) put(conn net.Conn) {
	select {
	case l.waiting <- conn:
	case <-l.closed:
		conn.Close()
	}
}

func (l *queue) Accept() (net.Conn, error) {
	select {
	case conn := <-l.waiting:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *queue) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *queue) Addr() net.Addr { return l.address }
