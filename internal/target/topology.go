// Package target is the protocol between the harness and a system under test: what target.yaml
// declares (Topology), what a runtime can do with it (Runtime, System, Capabilities). The kinds of
// runtimes live in the subpackages.
package target

import (
	"encoding/json"
	"time"
)

// Topology is a parsed target.yaml: all that the harness knows of a system.
type Topology struct {
	Name       string               `yaml:"name" doc:"the target's name" syntax:"name"`
	Image      map[string]Image     `yaml:"images" doc:"how each image of the target comes to be" optional:"true"`
	Nodes      []NodeSpec           `yaml:"nodes" doc:"processes of the target, in start order"`
	Edges      []EdgeSpec           `yaml:"edges" doc:"who talks to whom through a proxy link" optional:"true"`
	Ops        map[string]Op        `yaml:"ops" doc:"request templates that loads drive" optional:"true" keys:"name"`
	Prepare    []Step               `yaml:"prepare" doc:"once after the stateful nodes are up: make the migrated template" optional:"true"`
	ResetSteps []Step               `yaml:"reset" doc:"before each run, while the stateless nodes are gone: new database from the template, flushed caches" optional:"true"`
	Settled    []Query              `yaml:"settled" doc:"what must hold, twice, 500 ms apart, before the audit" optional:"true"`
	Audit      map[string]Query     `yaml:"audit" doc:"independent witnesses, read as NDJSON after the load" optional:"true"`
	Metrics    []Metrics            `yaml:"metrics" doc:"where nodes tell their metrics, read each second of a run" optional:"true"`
	Logs       *Logs                `yaml:"logs" doc:"what each line of the nodes' logs must hold, for the check log_schema" optional:"true"`
	Traces     *Traces              `yaml:"traces" doc:"how the target sends spans, when something is given {{collector}}" optional:"true"`
	Variants   map[string]Variant   `yaml:"variants" doc:"environment overlays, laid over every stateless node" optional:"true"`
	Behaviours map[string]Behaviour `yaml:"behaviours" doc:"calls with an undo, for a dependency that can be told to misbehave" optional:"true"`
	Clocks     map[string]Clock     `yaml:"clocks" doc:"by node: how its wall clock is read and moved, for a target that has a switch for that" optional:"true"`
	Secrets    []string             `yaml:"secrets" doc:"names of tokens made anew for each target and used as {{secret \"name\"}}" optional:"true"`

	Path string `yaml:"-"` // of the file, absolute
	Sum  string `yaml:"-"` // SHA-256 of the file, in hex
}

// Image is how an image comes to be: present, else pulled, else built.
type Image struct {
	Pull  string `yaml:"pull" doc:"reference with a digest to pull when the image is not present" optional:"true"`
	Build *Build `yaml:"build" doc:"recipe for when it can't be pulled" optional:"true"`
	Local *Local `yaml:"local" doc:"where runtime process finds the same program on this machine; not needed when build has go" optional:"true"`
}

// Local says where runtime process finds on the machine what an image holds.
type Local struct {
	Program    string   `yaml:"program" doc:"executable that must be there, such as redis-server; the default entrypoint of its nodes"`
	Folders    []string `yaml:"folders" doc:"folders to look in before PATH; * matches, and of several the highest version wins. All programs of the image are found beside it" optional:"true"`
	Install    string   `yaml:"install" doc:"what to say where it is missing, such as apt-get install redis-server" optional:"true"`
	Substitute string   `yaml:"substitute" doc:"built-in stand-in for --allow-substitutes" optional:"true" enum:"miniredis"`
}

// Build is a recipe; exactly one of Go and Debian is set.
type Build struct {
	Go     string        `yaml:"go" doc:"main package, relative to the module's root, built static into an empty image" optional:"true" one:"recipe"`
	Debian *DebianRecipe `yaml:"debian" doc:"Debian packages unpacked into an image" optional:"true" one:"recipe"`
}

// DebianRecipe unpacks Debian packages with mmdebstrap.
type DebianRecipe struct {
	Suite    string   `yaml:"suite" doc:"Debian suite, such as bookworm"`
	Packages []string `yaml:"packages" doc:"packages to unpack"`
	Variant  string   `yaml:"variant" doc:"mmdebstrap variant: extract (default), essential, minbase" default:"extract"`
	Users    []string `yaml:"users" doc:"lines for /etc/passwd, such as postgres:x:999:999::/var/lib/postgresql:/bin/sh" optional:"true"`
}

// NodeSpec is one process of the target.
type NodeSpec struct {
	Name       string            `yaml:"name" doc:"the node's name, also its host name inside the target" syntax:"name"`
	Image      string            `yaml:"image" doc:"key of images"`
	Entrypoint []string          `yaml:"entrypoint" doc:"replaces the image's own, so that pulled and built images behave the same" optional:"true"`
	Command    []string          `yaml:"command" doc:"arguments; they and the entrypoint may use the functions that env may use" optional:"true"`
	User       string            `yaml:"user" doc:"uid:gid; never root" optional:"true"`
	Env        map[string]string `yaml:"env" doc:"environment; values may use {{edge \"a->b\"}}, {{node \"x\"}}, {{node \"x\" \"port\"}}, {{secret \"x\"}}, and of the node itself {{host}}, {{port \"x\"}}, {{dir \"/x\"}}. PATH is the image's; runtime process sets its own" optional:"true"`
	Ports      map[string]Port   `yaml:"ports" doc:"named ports" optional:"true"`
	Ready      *Health           `yaml:"ready" doc:"when the node counts as ready" optional:"true"`
	Role       string            `yaml:"role" doc:"what it is, for reports and for picking victims" optional:"true"`
	Service    string            `yaml:"service" doc:"service.name of its spans; default the node's name" optional:"true"`
	Labels     map[string]string `yaml:"labels" doc:"free labels, for picking victims" optional:"true"`
	Stateful   bool              `yaml:"stateful" doc:"stays up between runs and is reset; the others are made anew for each run" optional:"true"`
	After      []string          `yaml:"after" doc:"nodes that must be ready before this one is started" optional:"true"`
	Tmpfs      map[string]string `yaml:"tmpfs" doc:"writable in-memory folders: path to mount options" optional:"true"`
	Volumes    []string          `yaml:"volumes" doc:"writable folders that outlive a restart of the node but not the target; owned as the image says" optional:"true"`
	VolumeSize string            `yaml:"volume_size" doc:"size of each volume, which then lies in memory and can be filled (disk.fill); runtime process has no bound" optional:"true" syntax:"size"`
	Memory     string            `yaml:"memory" doc:"memory limit, such as 512MiB" optional:"true" syntax:"size"`
	Pids       int64             `yaml:"pids" doc:"limit of processes and threads" optional:"true"`
	EndSignal  string            `yaml:"end_signal" doc:"what ends the node when the target goes down on runtime process" default:"KILL" enum:"TERM|INT|QUIT|KILL"`
	HealWithin time.Duration     `yaml:"heal_within" doc:"deadline for healing a fault on this node; default 10s" default:"10s"`
}

// Port is one port of a node.
type Port struct {
	Port    int  `yaml:"port" doc:"number inside the target" range:"1..65535"`
	Publish bool `yaml:"publish" doc:"reachable from the harness, on 127.0.0.1 only" optional:"true"`
}

// Health says when a node is ready; exactly one of HTTP and Exec is set.
type Health struct {
	HTTP   string        `yaml:"http" doc:"path that answers 200 when ready" optional:"true" one:"probe"`
	Port   string        `yaml:"port" doc:"name of the port for http" optional:"true"`
	Exec   []string      `yaml:"exec" doc:"command inside the node that exits 0 when ready" optional:"true" one:"probe"`
	Within time.Duration `yaml:"within" doc:"deadline; default 30s" default:"30s"`
}

// EdgeSpec is one arrow of the dependency map; traffic on it goes through a proxy link.
type EdgeSpec struct {
	Name string `yaml:"name" doc:"from->to, such as payments->postgres"`
	Port string `yaml:"port" doc:"name of the port of the node behind the arrow"`
	From string `yaml:"-"`
	To   string `yaml:"-"`
}

// Op is a request template.
type Op struct {
	Method   string            `yaml:"method" doc:"HTTP method" enum:"GET|HEAD|POST|PUT|PATCH|DELETE"`
	Port     string            `yaml:"port" doc:"name of the port"`
	Path     string            `yaml:"path" doc:"path; {name} is replaced by a needed id"`
	Headers  map[string]string `yaml:"headers" doc:"headers; values may use {key}, {traceparent}, {tenant}, {amount} and needed ids" optional:"true"`
	Body     string            `yaml:"body" doc:"body; the same placeholders" optional:"true"`
	Amount   *Range            `yaml:"amount" doc:"range of {amount}, minor units, picked with the seed" optional:"true"`
	Tenants  []string          `yaml:"tenants" doc:"values of {tenant}, picked uniformly with the seed" optional:"true"`
	Good     []int             `yaml:"good" doc:"statuses that are good" range:"100..599"`
	Excluded []int             `yaml:"excluded" doc:"statuses that are neither good nor bad" optional:"true" range:"100..599"`
	NoEffect []int             `yaml:"no_effect" doc:"statuses that promise no effect, beside 400, 401, 403, 404, 422, 429 and a shed 503" optional:"true" range:"100..599"`
	Shed     string            `yaml:"shed" doc:"header that marks a 503 as having had no effect; default X-Shed" default:"X-Shed"`
	ID       string            `yaml:"id" doc:"field of the JSON answer that holds the target's own id" optional:"true"`
	State    string            `yaml:"state" doc:"field of the JSON answer that holds the state" optional:"true"`
	Effect   string            `yaml:"effect" doc:"what an acknowledged request brings about; nothing when left out" optional:"true" enum:"payment|refund"`
	Needs    map[string]Need   `yaml:"needs" doc:"ids of earlier acknowledged requests" optional:"true"`
}

// Range is an inclusive range of integers.
type Range struct {
	Min int64 `yaml:"min" doc:"smallest" range:"0.."`
	Max int64 `yaml:"max" doc:"largest"`
}

// Need is an id that an op takes from another op's acknowledged answers.
type Need struct {
	From    string `yaml:"from" doc:"the op whose ids are used"`
	Field   string `yaml:"field" doc:"field of the answer that is remembered; default id" default:"id"`
	Status  []int  `yaml:"status" doc:"only answers with these statuses; default the good ones" optional:"true" range:"100..599"`
	Keep    int    `yaml:"keep" doc:"how many of the newest ids are kept; default 1000" default:"1000" range:"1.."`
	Prepare int    `yaml:"prepare" doc:"how many are made during warm-up, before this load starts; default 50" default:"50" range:"0.."`
}

// Step is one step of prepare or reset: a command inside a node.
type Step struct {
	Node  string   `yaml:"node" doc:"where"`
	Exec  []string `yaml:"exec" doc:"command"`
	Stdin string   `yaml:"stdin" doc:"file, relative to target.yaml, given as standard input" optional:"true"`
	Want  *string  `yaml:"want" doc:"what it must print, apart from surrounding space; verifies a reset" optional:"true"`
}

// Query is an HTTP question to a node. {run} in its path is replaced by the run's id, which every
// key of the run begins with.
type Query struct {
	Node    string            `yaml:"node" doc:"whom to ask"`
	Port    string            `yaml:"port" doc:"name of the port"`
	Method  string            `yaml:"method" doc:"HTTP method" default:"GET" enum:"GET|HEAD|POST|PUT|PATCH|DELETE"`
	Path    string            `yaml:"path" doc:"path and query; {run} is the run's id"`
	Headers map[string]string `yaml:"headers" doc:"headers; values may use {{secret \"name\"}}" optional:"true"`
	Field   string            `yaml:"field" doc:"settled: field of the JSON answer" optional:"true"`
	Equals  *int64            `yaml:"equals" doc:"settled: what it must be" optional:"true"`
	Types   []string          `yaml:"types" doc:"audit: types of the records that it has; an invariant that needs others is refused before anything is started" optional:"true"`
}

// Metrics is where a node tells its metrics, in Prometheus' text format.
type Metrics struct {
	Node    string            `yaml:"node" doc:"whom to ask"`
	Port    string            `yaml:"port" doc:"name of the port, a published one"`
	Path    string            `yaml:"path" doc:"path" default:"/metrics"`
	Headers map[string]string `yaml:"headers" doc:"headers; values may use {{secret \"name\"}}" optional:"true"`
	Series  []string          `yaml:"series" doc:"names to keep, * matches; default all but those that begin with go_, process_ and promhttp_" optional:"true"`
}

// Logs is what log lines must hold.
type Logs struct {
	Nodes    []string `yaml:"nodes" doc:"nodes that log one JSON object a line; default those that are not stateful" optional:"true"`
	Required []string `yaml:"required" doc:"fields that each line must have"`
	Traced   []string `yaml:"traced" doc:"fields that a line with a trace_id must have too" optional:"true"`
}

// Traces is how a target sends spans.
type Traces struct {
	Flush time.Duration `yaml:"flush" doc:"how long a span may wait in a node before it is sent; a run reads on for as long after its load" default:"5s" range:"0s..30s"`
}

// Behaviour is a document that a dependency serves and takes back: read it, write it with some
// fields changed, and write the old one to undo.
type Behaviour struct {
	Read   Query             `yaml:"read" doc:"answers the whole document as JSON"`
	Write  Query             `yaml:"write" doc:"takes the whole document as JSON"`
	Stats  Query             `yaml:"stats" doc:"answers cumulative counters as JSON, to see that it bit" optional:"true"`
	Bites  map[string]string `yaml:"bites" doc:"field of the document to the counter that moves when it bites" optional:"true"`
	Shares map[string]string `yaml:"shares" doc:"field that is a share of the calls, 0 to 1, to the counter of those calls; what was delivered is held against it" optional:"true"`
	Fields map[string]string `yaml:"fields" doc:"fields an experiment may set, and what each means" optional:"true"`
}

// Variant is an environment overlay.
type Variant struct {
	Doc string            `yaml:"doc" doc:"what this variant is" optional:"true"`
	Env map[string]string `yaml:"env" doc:"laid over the environment of every node that is not stateful" optional:"true"`
}

// Call is a request that the harness makes to a node outside of any load.
type Call struct {
	Query Query
	Run   string // replaces {run}
	Body  json.RawMessage
}

// Node returns the spec of one node.
func (t *Topology) Node(name string) (NodeSpec, bool) {
	for _, n := range t.Nodes {
		if n.Name == name {
			return n, true
		}
	}
	return NodeSpec{}, false
}

// Replicas are the other nodes of a node's service that no audit or settled query asks for themselves.
func (t *Topology) Replicas(node string) (names []string) {
	of, _ := t.Node(node)
	asked := make(map[string]bool)
	for _, q := range t.Audit {
		asked[q.Node] = true
	}
	for _, q := range t.Settled {
		asked[q.Node] = true
	}
	for _, n := range t.Nodes {
		if n.Name != node && n.Service != "" && n.Service == of.Service && !asked[n.Name] {
			names = append(names, n.Name)
		}
	}
	return names
}

// Edge returns the spec of one edge.
func (t *Topology) Edge(name string) (EdgeSpec, bool) {
	for _, e := range t.Edges {
		if e.Name == name {
			return e, true
		}
	}
	return EdgeSpec{}, false
}
