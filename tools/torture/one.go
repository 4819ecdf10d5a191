package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// outcome is what became of one run.
type outcome struct {
	way    string
	dir    string
	moment time.Duration // of the strike, from the start of the command
	open   int           // actions that were open at the strike
	struck bool          // false: the run was over before
	kept   bool
	heal   time.Duration // from the strike until the run was over, when the strike ended it
	timed  bool
	left   []string
}

func (o outcome) String() string {
	text := fmt.Sprintf("%s at %.1f s", o.way, o.moment.Seconds())
	switch {
	case !o.struck:
		text += ", when the run was over"
	case o.open > 0:
		text += fmt.Sprintf(", %d faults on", o.open)
	}
	if o.kept {
		text += ", kept"
	}
	if o.timed {
		text += fmt.Sprintf(", healed in %.2f s", o.heal.Seconds())
	}
	if len(o.left) > 0 {
		text += "\n    LEFT (" + o.dir + "):\n      " + strings.Join(o.left, "\n      ")
	}
	return text
}

// one takes one run, strikes it, and looks at what is left.
func (c *campaign) one(n int, w way) (o outcome) {
	names := experiments()
	experiment, keep := names[c.rng.IntN(len(names))], c.rng.IntN(2) == 0
	o = outcome{way: w.name, kept: keep, moment: time.Duration(c.rng.Int64N(int64(c.length)))}
	fail := func(err error) outcome { o.left = append(o.left, err.Error()); return o }
	v, err := c.prepare(fmt.Sprintf("%03d-%s", n, experiment), experiment, keep)
	if err != nil {
		return fail(err)
	}
	o.dir = v.dir
	if w.before != nil {
		if err := w.before(v); err != nil {
			return fail(err)
		}
	}
	if err := v.start(); err != nil {
		return fail(err)
	}
	if err := c.strike(v, w, &o); err != nil {
		o.left = append(o.left, err.Error())
	}
	o.left = append(o.left, v.left()...)
	if w.after != nil {
		if err := w.after(v); err != nil {
			return fail(err)
		}
	}
	return o
}

// strike waits for the moment, strikes, and waits until the run is over and healed.
func (c *campaign) strike(v *victim, w way, o *outcome) error {
	var errs []error
	v.begun()
	at := time.Now().Add(o.moment)
	if v.pause(o.moment) {
		v.remember()
		at = time.Now()
		err := w.do(v)
		for errors.Is(err, errTooEarly) && v.pause(victimsUp) {
			v.remember()
			at = time.Now()
			err = w.do(v)
		}
		o.struck = err == nil
		if err != nil && !errors.Is(err, errTooEarly) && !v.over() { // what is gone can't be struck
			errs = append(errs, fmt.Errorf("%s: %w", w.name, err))
		}
	}
	errs = append(errs, v.wait(endsWithin))
	if err := os.Remove(filepath.Join(v.reports(), filler)); err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err) // on a disk that stays full nobody can write down that it is healed
	}
	errs = append(errs, v.unwatched())
	if w.heals && o.struck {
		if _, err := v.call("heal", "--reports", v.reports()); err != nil {
			errs = append(errs, err)
		}
	}
	if o.struck && w.ends {
		o.heal, o.timed = time.Since(at), true
	}
	o.open, v.hurt = len(open(v.events(), at)), o.struck && w.hurts
	return errors.Join(errs...)
}
