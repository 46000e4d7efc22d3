package environment

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCleanRefusesADirectoryThatIsNoEnvironments(t *testing.T) {
	directory := t.TempDir()
	file := filepath.Join(directory, "precious")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Clean(directory); err == nil {
		t.Error("it was taken for one")
	}
	if _, err := (&Environment{}).claim(directory); err == nil {
		t.Error("it was taken by a new one")
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func TestCleanRefusesAnEnvironmentThatIsUpAndRemovesADeadOne(t *testing.T) {
	parent, err := os.MkdirTemp("", "clean") // t.TempDir is too long for the sockets
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(parent) }()
	directory := filepath.Join(parent, "environment")
	living := &Environment{}
	if _, err := living.claim(directory); err != nil {
		t.Fatal(err)
	}
	if err := Clean(directory); err == nil {
		t.Error("a living one was removed")
	}
	if err := living.lock.Close(); err != nil { // as at its death
		t.Fatal(err)
	}
	if err := Clean(directory); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(directory); err == nil {
		t.Error("the directory is still there")
	}
}
