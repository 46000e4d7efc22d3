// generate writes the files that are made from crds/ and the chart: `make generate`.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"quayrotator.dev/tests/chart"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: generate ROOT HELM")
		os.Exit(2)
	}
	root, helm := os.Args[1], os.Args[2]
	files, err := chart.Generated(root, helm)
	for path, content := range files {
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(root, path), []byte(content), 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}
