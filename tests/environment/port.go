package environment

import (
	"fmt"
	"syscall"
)

// A port is a TCP port of 127.0.0.1, chosen by the kernel, that stays ours as long as it is held.
//
// Finding a free port and closing it again leaves a gap in which it becomes the source port of
// somebody's connection, and a program that is stopped and started loses its port the same way.
// So the socket stays bound, without ever listening: with SO_REUSEADDR on both sides Linux lets
// another program listen on that very port, but gives it to nobody who asks for any port.
type port struct {
	number int
	socket int
}

func holdPort() (port, error) {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return port{}, fmt.Errorf("a socket to hold a port: %w", err)
	}
	err = syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err == nil {
		err = syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	var name syscall.Sockaddr
	if err == nil {
		name, err = syscall.Getsockname(socket)
	}
	if err != nil {
		_ = syscall.Close(socket)
		return port{}, fmt.Errorf("a free port of 127.0.0.1: %w", err)
	}
	return port{number: name.(*syscall.SockaddrInet4).Port, socket: socket}, nil
}

func (p port) release() { _ = syscall.Close(p.socket) }

// address is the port as programs are told to listen on it.
func (p port) address() string { return fmt.Sprintf("127.0.0.1:%d", p.number) }
