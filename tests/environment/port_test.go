package environment

import (
	"net"
	"testing"
)

func TestHeldPortCanBeListenedOnAgainAndAgain(t *testing.T) {
	held, err := holdPort()
	if err != nil {
		t.Fatal(err)
	}
	defer held.release()
	for range 3 {
		listener, err := net.Listen("tcp4", held.address())
		if err != nil {
			t.Fatal(err)
		}
		connection, err := net.Dial("tcp4", held.address())
		if err != nil {
			t.Fatal(err)
		}
		_ = connection.Close()
		_ = listener.Close()
	}
}

func TestHeldPortRefusesConnectionsWhileNobodyListens(t *testing.T) {
	held, err := holdPort()
	if err != nil {
		t.Fatal(err)
	}
	defer held.release()
	if connection, err := net.Dial("tcp4", held.address()); err == nil {
		_ = connection.Close()
		t.Fatal("somebody accepted a connection")
	}
}
