package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"chaos/internal/verdict"
)

// DocumentFile is where a run folder keeps its Document.
const DocumentFile = "report.json"

// SampleFolder holds a run that is kept to look at. It is no run of this machine, so no index lists it.
const SampleFolder = "sample"

const (
	maxDocument = 64 << 20 // bytes of one report.json that are read; a larger one is not ours
	maxFolders  = 5000     // newest run folders in one index
)

// Suite is many experiments: the newest run of each, and all runs before.
type Suite struct {
	Schema   string     `json:"schema"`
	Variants []string   `json:"variants"` // columns of the grid, in order of first appearance
	Newest   []SuiteRun `json:"newest"`   // newest run of each experiment and profile, by name
	Earlier  []SuiteRun `json:"earlier"`  // the others, newest first
	Broken   []Broken   `json:"broken"`   // run folders whose report could not be read
	Exit     int        `json:"exit"`     // of the newest runs together
	Met      int        `json:"met"`      // variants of the newest runs whose expectation came true
	All      int        `json:"all"`      // variants of the newest runs
}

// SuiteRun is one run folder.
type SuiteRun struct {
	Dir        string         `json:"dir"`
	Experiment string         `json:"experiment"`
	Hypothesis string         `json:"hypothesis"`
	Profile    string         `json:"profile"`
	Started    time.Time      `json:"started"`
	Duration   time.Duration  `json:"duration_ns"`
	Exit       int            `json:"exit"`
	Variants   []SuiteVariant `json:"variants"`
}

// SuiteVariant is the verdict of one variant.
type SuiteVariant struct {
	Name   string         `json:"name"`
	Status verdict.Status `json:"status"`
	Met    bool           `json:"met"`
	Why    string         `json:"why,omitempty"`
}

// Broken is a run folder that has a report which could not be read.
type Broken struct{ Dir, Why string }

// Variant returns the verdict of the variant called name.
// It is the zero SuiteVariant, without a name, when the run has none such.
func (r SuiteRun) Variant(name string) SuiteVariant {
	for _, v := range r.Variants {
		if v.Name == name {
			return v
		}
	}
	return SuiteVariant{}
}

// Decode reads a Document that Build made and the JSON format wrote. The input is hostile: it is
// bounded, and cleaned as if it were new.
func Decode(in io.Reader) (*Document, error) {
	raw, err := io.ReadAll(io.LimitReader(in, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	if len(raw) > maxDocument {
		return nil, fmt.Errorf("report is larger than %d bytes", maxDocument)
	}
	var doc Document
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("decode report: %w", err)
	}
	if doc.Schema != Schema {
		return nil, fmt.Errorf("report has schema %q, not %q", visible(doc.Schema), Schema)
	}
	newRedactor().clean(&doc)
	return &doc, nil
}

// NewSuite arranges runs by experiment and time.
func NewSuite(runs []SuiteRun, broken []Broken) *Suite {
	s := &Suite{Schema: "chaos.suite/v1", Broken: broken}
	runs = slices.Clone(runs)
	slices.SortFunc(runs, func(a, b SuiteRun) int {
		if c := b.Started.Compare(a.Started); c != 0 {
			return c
		}
		return strings.Compare(b.Dir, a.Dir)
	})
	type key struct{ experiment, profile string }
	seen := map[key]bool{}
	for _, r := range runs {
		k := key{r.Experiment, r.Profile}
		if seen[k] {
			s.Earlier = append(s.Earlier, r)
			continue
		}
		seen[k] = true
		s.Newest = append(s.Newest, r)
	}
	slices.SortStableFunc(s.Newest, func(a, b SuiteRun) int {
		if c := strings.Compare(a.Experiment, b.Experiment); c != 0 {
			return c
		}
		return strings.Compare(a.Profile, b.Profile)
	})
	codes := make([]int, 0, len(s.Newest))
	for _, r := range s.Newest {
		codes = append(codes, r.Exit)
		for _, v := range r.Variants {
			s.All++
			if v.Met {
				s.Met++
			}
		}
	}
	for _, r := range slices.Concat(s.Newest, s.Earlier) {
		for _, v := range r.Variants {
			if !slices.Contains(s.Variants, v.Name) {
				s.Variants = append(s.Variants, v.Name)
			}
		}
	}
	s.Exit = verdict.WorstExit(codes...)
	return s
}

// Summary is the row of a Document that lies in dir.
func Summary(dir string, doc *Document) SuiteRun {
	r := SuiteRun{Dir: dir, Experiment: doc.Experiment, Hypothesis: doc.Hypothesis, Profile: doc.Profile,
		Started: doc.Started, Duration: doc.Duration, Exit: doc.Exit}
	for _, v := range doc.Variants {
		why := v.MetWhy
		if len(v.Why) > 0 {
			why = v.Why[0]
		}
		r.Variants = append(r.Variants, SuiteVariant{Name: v.Name, Status: v.Status, Met: v.Met, Why: why})
	}
	return r
}

// WriteIndex reads the reports of all run folders in reportsDir and writes the index in every format.
// Foreign folders are passed over; a folder with a report that can't be read is listed as such.
// Symbolic links are not followed, so the index never tells of anything outside.
func WriteIndex(reportsDir string, formats []IndexFormat) error {
	suite, err := ReadSuite(reportsDir)
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range formats {
		var out strings.Builder
		err := f.Write(&out, suite)
		if err == nil {
			err = replaceFile(reportsDir, f.File, []byte(out.String()))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("write index %s: %w", filepath.Join(reportsDir, f.File), err))
		}
	}
	return errors.Join(errs...)
}

// ReadSuite reads the newest maxFolders run folders in reportsDir.
func ReadSuite(reportsDir string) (*Suite, error) {
	root, err := os.OpenRoot(reportsDir)
	if err != nil {
		return nil, fmt.Errorf("read reports: %w", err)
	}
	defer root.Close() // only read from
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("read reports %s: %w", reportsDir, err)
	}
	var runs []SuiteRun
	var broken []Broken
	r := newRedactor()
	folders := 0
	for i := len(entries) - 1; i >= 0 && folders < maxFolders; i-- { // names begin with the time
		if !entries[i].IsDir() || entries[i].Name() == SampleFolder {
			continue
		}
		doc, err := readDocument(root, entries[i].Name())
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			broken = append(broken, Broken{Dir: r.text(entries[i].Name()), Why: r.text(err.Error())})
		default:
			runs = append(runs, Summary(entries[i].Name(), doc))
		}
		folders++
	}
	return NewSuite(runs, broken), nil
}

func readDocument(root *os.Root, dir string) (doc *Document, err error) {
	name := path.Join(dir, DocumentFile)
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for ever
		return nil, fmt.Errorf("%s is not a regular file", DocumentFile)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return Decode(f)
}
