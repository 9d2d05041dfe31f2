package trial

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/internal/testenv"
)

// Curl runs lines as they are printed, one after the other, and returns the answers. Each is run until its answer is neither a problem nor an empty list: what an event
// leads to takes a moment.
func Curl(t *testing.T, lines []string) []string {
	t.Helper()
	answers := make([]string, len(lines))
	for i, line := range lines {
		testenv.Eventually(t, 20*time.Second, func() error {
			answer, err := exec.CommandContext(t.Context(), "sh", "-c", line).Output() //nolint:gosec // it is what the program prints for people
			answers[i] = strings.TrimSpace(string(answer))
			problem := bytes.Contains(answer, []byte(`"code":`)) && !bytes.Contains(answer, []byte(`"openapi"`))
			if err != nil || problem || !json.Valid(answer) || answers[i] == "[]" {
				return fmt.Errorf("%s: %w: %s", line, err, answer)
			}
			return nil
		})
	}
	return answers
}

// Readme wants the lines to try of a program's welcome in README.md, as they are.
func Readme(t *testing.T, welcome string) {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(welcome) {
		if (strings.HasPrefix(line, "curl ") || strings.HasPrefix(line, "go run")) && !strings.Contains(string(readme), line) {
			t.Errorf("README.md lacks %s", line)
		}
	}
}
