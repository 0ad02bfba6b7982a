package scenario_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheOperatorsPage runs the commands of docs/operations.md, in their order, in one shell.
func TestTheOperatorsPage(t *testing.T) {
	page := mustRead(t, "../../docs/operations.md")
	var script strings.Builder
	script.WriteString("set -eu\n")
	blocks := strings.Split(page, "```sh\n")[1:]
	for _, b := range blocks {
		text, _, _ := strings.Cut(b, "```")
		script.WriteString(text)
	}
	if len(blocks) < 7 {
		t.Fatalf("only %d blocks", len(blocks))
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "exports"), os.DirFS("testdata/town")); err != nil {
		t.Fatal(err)
	}
	cmd := command(t)
	bin := filepath.Dir(cmd.Path)
	shell := exec.Command("bash", "-c", script.String())
	shell.Dir = dir
	shell.Env = append(cmd.Env, "PATH="+bin+":"+os.Getenv("PATH"))
	if s := finish(t, shell); s.code != 0 {
		t.Errorf("exit code %d\n%s%s", s.code, s.out, s.errs)
	}
}
