package environment

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

const (
	identifierFile = "identifier" // present in every directory of an environment
	bridgePrefix   = "qrot-"
	groupPrefix    = "quay-rotator-"
)

// Clean removes what an environment left behind that was killed together with the keeper of its node:
// bridge, control groups, and the directory. One that is still up is refused.
func Clean(directory string) error {
	identifier, err := os.ReadFile(filepath.Join(directory, identifierFile))
	if err != nil {
		return fmt.Errorf("%s is no directory of an environment: %w", directory, err)
	}
	held, err := lock(directory)
	if err != nil {
		return err
	}
	defer func() { _ = held.Close() }()
	node := filepath.Join(directory, "node")
	script := filepath.Join(node, "node.sh")
	if _, err := os.Stat(script); err == nil {
		command := exec.Command("/bin/sh", script, node, groupPrefix+string(identifier), bridgePrefix+string(identifier), "")
		command.Env = append(os.Environ(), "KEEPER_ONLY_CLEANS=1")
		if output, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("the node of %s: %w\n%s", directory, err, output)
		}
	}
	return empty(directory, true)
}

// lock holds the directory's lock for as long as the file is open; nobody inherits it.
func lock(directory string) (*os.File, error) {
	file, err := os.Open(directory)
	if err != nil {
		return nil, err
	}
	if err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("an environment is up in %s", directory)
	}
	return file, nil
}

// empty removes what is in the directory, and itself on request.
func empty(directory string, itself bool) error {
	if itself {
		return os.RemoveAll(directory)
	}
	entries, err := os.ReadDir(directory)
	failures := []error{err}
	for _, entry := range entries {
		failures = append(failures, os.RemoveAll(filepath.Join(directory, entry.Name())))
	}
	return errors.Join(failures...)
}
