package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	kills = 20
	// perLife is how many more bookings each life is asked for: about what it can make before it is killed.
	perLife = 40
	// total is what the last run has to reach.
	total = 1500
)

// The whole platform is killed twenty times, at random moments from its start on, and started again on its data. In the end nothing is lost,
// doubled or out of order, and the lake is complete.
func TestDemoSurvivesTwentyKills(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	killed := 0
	for life := 1; killed < kills; life++ {
		if life > 3*kills {
			t.Fatalf("%d lives, and only %d were long enough to be killed", life, killed)
		}
		cmd, out, status := command(t.Context(), "demo", "--data", dir, "--bookings", strconv.Itoa(min(life*perLife, total)), "-o", "json")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-time.After(50*time.Millisecond + rand.N(1200*time.Millisecond)):
			if err := cmd.Process.Kill(); err == nil {
				killed++
			}
			<-ended
		case err := <-ended:
			if err != nil {
				t.Fatalf("life %d ended with %v\n%s%s", life, err, out, status)
			}
		}
	}
	r := tidings(t, "", "demo", "--data", dir, "--bookings", strconv.Itoa(total), "-o", "json")
	s := r.summary(t)
	if r.code != 0 || s.Lost != 0 || s.DuplicateEffects != 0 || s.OutOfOrder != 0 || s.InternalInLake != 0 || s.OutboxLeft != 0 || s.DeadLetters != 0 {
		t.Errorf("exit %d, summary %+v\n%s", r.code, s, r.status)
	}
	if s.Bookings != total || s.LakeRows != s.PublicEvents || s.PublicEvents != 4*s.Bookings+s.Bookings/10 {
		t.Errorf("counts are not exact: %+v", s)
	}
}

// http200 and bookings look at an answer.
func http200(*http.Response, string) error { return nil }

func bookings(_ *http.Response, body string) error {
	if !strings.Contains(body, `"show"`) {
		return fmt.Errorf("no bookings yet: %s", body)
	}
	return nil
}

func get(t *testing.T, url string, look func(*http.Response, string) error) error {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return look(resp, string(body))
}
