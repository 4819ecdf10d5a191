package html_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"chaos/internal/report"
	"chaos/internal/report/html"
	"chaos/internal/report/reporttest"
)

// look is one way of looking at a page.
type look struct {
	name          string
	width, height int64
	dark, noJS    bool
}

var looks = []look{
	{"light", 1280, 900, false, false},
	{"dark", 1280, 900, true, false},
	{"narrow", 390, 844, false, false},
	{"narrow-dark", 390, 844, true, false},
	{"no-javascript", 1280, 900, false, true},
}

// looksAt gives the pages that differ most in shape every look, the others one wide and one narrow.
func looksAt(page string) []look {
	switch page {
	case "pair", "hostile", "index":
		return looks
	case "silent", "residue", "nothing", "index-hostile":
		return []look{looks[0], looks[2]}
	default:
		return nil
	}
}

// TestInBrowser opens the pages in headless Chromium: no console message, no request
// but for the file itself, nothing wider than the screen, verdicts on the first screen. The pictures
// go to $CHAOS_SCREENSHOTS or the test's artifact folder, to be looked at.
func TestInBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: no browser is started")
	}
	browser := chromium(t)
	dir := os.Getenv("CHAOS_SCREENSHOTS")
	if dir == "" {
		dir = t.ArtifactDir()
	}
	pages := t.TempDir()
	for _, c := range reporttest.Cases() {
		path := filepath.Join(pages, c.Name+".html")
		if err := os.WriteFile(path, []byte(render(t, report.Build(c.Runs))), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, l := range looksAt(c.Name) {
			t.Run(c.Name+"/"+l.name, func(t *testing.T) {
				open(t, browser, path, l, len(c.Runs), filepath.Join(dir, c.Name+"-"+l.name+".png"))
			})
		}
	}
	for name, cases := range map[string][]reporttest.Case{"index": reporttest.Cases()[:6], "index-hostile": reporttest.Cases()[6:]} {
		path := filepath.Join(pages, name+".html")
		var out bytes.Buffer
		if err := html.Index().Write(&out, suite(cases)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, l := range looksAt(name) {
			t.Run(name+"/"+l.name, func(t *testing.T) {
				open(t, browser, path, l, 0, filepath.Join(dir, name+"-"+l.name+".png"))
			})
		}
	}
}

func suite(cases []reporttest.Case) *report.Suite {
	var runs []report.SuiteRun
	for i, c := range cases {
		r := report.Summary(fmt.Sprintf("20260305T0930-%s-%d", c.Name, i), report.Build(c.Runs))
		if !r.Started.IsZero() {
			r.Started = r.Started.Add(time.Duration(i) * time.Minute)
		}
		runs = append(runs, r)
	}
	return report.NewSuite(runs, []report.Broken{{Dir: "20260101-torn", Why: "decode report: unexpected end of JSON input"}})
}

// chromium starts one browser for the test, or skips it when the machine has none.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		path, err = exec.LookPath("google-chrome")
	}
	if err != nil {
		t.Skip("neither chromium nor google-chrome in PATH: the pages are not looked at in a browser")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(5*time.Minute))
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	browser, stopBrowser := chromedp.NewContext(allocator)
	t.Cleanup(stopBrowser)
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return browser
}

func open(t *testing.T, browser context.Context, path string, l look, variants int, shot string) {
	t.Helper()
	tab, closeTab := chromedp.NewContext(browser)
	defer closeTab()
	tab, cancel := context.WithTimeout(tab, 5*time.Minute)
	defer cancel()
	complaints, err := listen(tab, "file://"+path)
	if err != nil {
		t.Fatal(err)
	}
	layout, firstScreen, picture := visit(t, tab, path, l)
	for _, c := range complaints() {
		t.Error(c)
	}
	if width := layout.CSSContentSize.Width; int64(width) > l.width {
		t.Errorf("the page is %v px wide on a screen of %d", width, l.width)
	}
	if firstScreen < variants {
		t.Errorf("%d of %d verdicts are on the first screen", firstScreen, variants)
	}
	if err := os.WriteFile(shot, picture, 0o644); err != nil {
		t.Error(err)
	}
}

// visit opens the page and returns its size, how many verdicts are on the first screen, and a picture.
func visit(t *testing.T, tab context.Context, path string, l look) (layout page.GetLayoutMetricsResult, firstScreen int, picture []byte) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	_, err := chromedp.Call(tab, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: l.width, Height: l.height, DeviceScaleFactor: 1, Mobile: l.width < 600})
	must(err)
	_, err = chromedp.Call(tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	must(err)
	_, err = chromedp.Call(tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: l.noJS})
	must(err)
	must(chromedp.Do(tab, chromedp.Navigate("file://"+path)))
	layout, err = chromedp.Call(tab, page.GetLayoutMetrics, cdp.Empty{})
	must(err)
	_, err = chromedp.Call(tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{})
	must(err)
	firstScreen, err = chromedp.Run(tab, chromedp.Evaluate[int](fmt.Sprintf(
		`[...document.querySelectorAll('.verdict .status')].filter(e => e.getBoundingClientRect().bottom < %d).length`, l.height)))
	must(err)
	picture, err = chromedp.Run(tab, chromedp.FullScreenshot(100))
	must(err)
	return layout, firstScreen, picture
}

// listen collects console messages, exceptions, and requests for anything but the page.
func listen(tab context.Context, url string) (complaints func() []string, err error) {
	var mu sync.Mutex
	var found []string
	add := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		found = append(found, fmt.Sprintf(format, args...))
	}
	err = chromedp.Listen(tab, func(event any) {
		switch e := event.(type) {
		case *log.EventEntryAdded:
			add("console: %s %s", e.Entry.Level, e.Entry.Text)
		case *runtime.EventConsoleAPICalled:
			add("console: %s", e.Type)
		case *runtime.EventExceptionThrown:
			add("exception: %s", e.ExceptionDetails.Text)
		case *network.EventRequestWillBeSent:
			if u := e.Request.URL; u != url && !strings.HasPrefix(u, "data:") && !strings.HasPrefix(u, "about:") {
				add("request: %s", u)
			}
		}
	})
	if err == nil {
		_, err = chromedp.Call(tab, network.Enable, network.EnableParams{})
	}
	if err == nil {
		_, err = chromedp.Call(tab, log.Enable, cdp.Empty{})
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return found
	}, err
}
