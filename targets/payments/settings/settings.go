// Package settings reads the environment of one node. Whatever starts with
// PAYSYS_ and is not known is an error, so a misspelt variable is never
// silently a default.
package settings

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"chaos/targets/payments/switches"
)

// Role is what a node does.
type Role string

// The roles.
const (
	Gateway   Role = "gateway"
	Orders    Role = "orders"
	Payments  Role = "payments"
	Inventory Role = "inventory"
	Notify    Role = "notify"
	Recs      Role = "recs"
	PSP       Role = "psp"
)

// Roles lists the roles, for messages.
const Roles = "gateway, orders, payments, inventory, notify, recs, psp"

// All lists the roles.
func All() []Role { return []Role{Gateway, Orders, Payments, Inventory, Notify, Recs, PSP} }

const (
	prefix       = "PAYSYS_"
	switchPrefix = "PAYSYS_SWITCH_"
	tenants      = 20
	defaultQuota = 50
	maxQuota     = 1_000_000
)

// Settings is the environment of one node, checked.
type Settings struct {
	Role           Role
	Listen         string
	InternalListen string
	InternalToken  string
	Instance       string
	Switches       switches.Set

	Version      string            // of the build, as deployed
	PaymentsURLs []string          // gateway, orders: one for each instance
	OrdersURL    string            // gateway; empty: no orders
	RecsURL      string            // gateway
	NATSURL      string            // orders, inventory, notify; payments: empty tells nobody
	OTLPURL      string            // where spans go; empty: nowhere
	RedisAddr    string            // gateway, payments
	APIKeys      map[string]string // gateway: key → tenant
	Quota        int               // gateway: requests per second and tenant
	Replicas     int               // gateway: the local limiter takes quota/replicas
	DatabaseURL  string            // orders, payments, inventory, notify
	PSPURL       string            // payments
	PSPSeed      uint64            // psp
	RecsSeed     uint64            // recs
}

// Variable is one line of the manual.
type Variable struct {
	Name, Roles, Default, Doc string
}

// Variables lists every environment variable but the switches.
func Variables() []Variable {
	return []Variable{
		{"PAYSYS_LISTEN", "all", ":8080", "public address"},
		{"PAYSYS_INTERNAL_LISTEN", "all", ":9090", "address of /metrics, /internal, /admin, /settlement; never route it through a proxy"},
		{"PAYSYS_INTERNAL_TOKEN", "all", "required", "bearer token of the internal routes"},
		{"PAYSYS_PRESET", "all", "resilient", switches.Presets},
		{"PAYSYS_SWITCH_<NAME>", "all", "", "one switch, on top of the preset"},
		{"PAYSYS_INSTANCE", "all", "hostname", "name of this node in logs"},
		{"PAYSYS_VERSION", "all", "that of the binary", "label of this build, in metrics, logs and /healthz"},
		{"PAYSYS_PAYMENTS_URL", "gateway, orders", "required", "http://host:port of payments; several instances with commas"},
		{"PAYSYS_ORDERS_URL", "gateway", "", "http://host:port of orders; without it there are no orders"},
		{"PAYSYS_RECS_URL", "gateway", "required with orders", "http://host:port of recs"},
		{"PAYSYS_NATS_URL", "orders, payments, inventory, notify", "required, but for payments", "nats://host:port; payments without it tells nobody what happened"},
		{"PAYSYS_REDIS_ADDR", "gateway, payments", "required", "host:port of Redis"},
		{"PAYSYS_API_KEYS", "gateway", "key-tenant-01:tenant-01,… (20)", "comma separated key:tenant"},
		{"PAYSYS_QUOTA", "gateway", "50", "requests per second and tenant, burst of one second"},
		{"PAYSYS_REPLICAS", "gateway", "1", "gateways that share the quota while each counts alone"},
		{"PAYSYS_DATABASE_URL", "orders, payments, inventory, notify", "required", "postgres://user@host:port/database"},
		{"PAYSYS_PSP_URL", "payments", "required", "http://host:port of the processor"},
		{"PAYSYS_OTLP_URL", "all", "", "http://host:port of an OTLP/HTTP collector for spans; without it they go nowhere"},
		{"PAYSYS_RECS_SEED", "recs", "1", "seed of the time that an answer takes"},
		{"PAYSYS_PSP_SEED", "psp", "1", "seed of latencies, declines and faults"},
	}
}

// Read makes Settings from an environment ("NAME=value" lines). All mistakes
// are reported at once.
func Read(role Role, environ []string, hostname string) (Settings, error) {
	values, single, errs := split(environ)
	s := Settings{
		Role:           role,
		Listen:         or(values, "PAYSYS_LISTEN", ":8080"),
		InternalListen: or(values, "PAYSYS_INTERNAL_LISTEN", ":9090"),
		InternalToken:  values["PAYSYS_INTERNAL_TOKEN"],
		Instance:       or(values, "PAYSYS_INSTANCE", hostname),
	}
	var err error
	if s.Switches, err = switches.Resolve(or(values, "PAYSYS_PRESET", switches.PresetResilient), single); err != nil {
		errs = append(errs, err)
	}
	need := func(names ...string) {
		for _, n := range names {
			if values[n] == "" {
				errs = append(errs, fmt.Errorf("%s is required for role %s", n, role))
			}
		}
	}
	if !slices.Contains(All(), role) {
		errs = append(errs, fmt.Errorf("unknown role %q: valid are %s", role, Roles))
	}
	need("PAYSYS_INTERNAL_TOKEN")
	need(required(role, values)...)
	s.APIKeys, err = apiKeys(values["PAYSYS_API_KEYS"])
	errs = append(errs, err)
	s.Quota, err = number(values, "PAYSYS_QUOTA", defaultQuota)
	errs = append(errs, err)
	s.Replicas, err = number(values, "PAYSYS_REPLICAS", 1)
	errs = append(errs, err)
	s.PSPSeed, err = seed(values, "PAYSYS_PSP_SEED")
	errs = append(errs, err)
	s.RecsSeed, err = seed(values, "PAYSYS_RECS_SEED")
	errs = append(errs, err)
	for _, u := range []struct {
		name, scheme string
		into         *string
	}{{"PAYSYS_ORDERS_URL", "http", &s.OrdersURL}, {"PAYSYS_OTLP_URL", "http", &s.OTLPURL}, {"PAYSYS_RECS_URL", "http", &s.RecsURL}, {"PAYSYS_PSP_URL", "http", &s.PSPURL}, {"PAYSYS_NATS_URL", "nats", &s.NATSURL}} {
		*u.into, err = base(u.name, values[u.name], u.scheme)
		errs = append(errs, err)
	}
	for one := range strings.SplitSeq(values["PAYSYS_PAYMENTS_URL"], ",") {
		u, err := base("PAYSYS_PAYMENTS_URL", strings.TrimSpace(one), "http")
		if errs = append(errs, err); u != "" {
			s.PaymentsURLs = append(s.PaymentsURLs, u)
		}
	}
	s.RedisAddr, s.DatabaseURL, s.Version = values["PAYSYS_REDIS_ADDR"], values["PAYSYS_DATABASE_URL"], values["PAYSYS_VERSION"]
	return s, errors.Join(errs...)
}

// required lists what a role cannot start without.
func required(role Role, values map[string]string) []string {
	switch role {
	case Gateway:
		if values["PAYSYS_ORDERS_URL"] != "" {
			return []string{"PAYSYS_PAYMENTS_URL", "PAYSYS_REDIS_ADDR", "PAYSYS_RECS_URL"}
		}
		return []string{"PAYSYS_PAYMENTS_URL", "PAYSYS_REDIS_ADDR"}
	case Orders:
		return []string{"PAYSYS_DATABASE_URL", "PAYSYS_PAYMENTS_URL", "PAYSYS_NATS_URL"}
	case Payments:
		return []string{"PAYSYS_DATABASE_URL", "PAYSYS_REDIS_ADDR", "PAYSYS_PSP_URL"}
	case Inventory, Notify:
		return []string{"PAYSYS_DATABASE_URL", "PAYSYS_NATS_URL"}
	}
	return nil
}

// split sorts the environment into variables and switches. Variables of other
// roles are allowed, so that one environment can serve all nodes.
func split(environ []string) (values, single map[string]string, errs []error) {
	var known []string
	for _, v := range Variables() {
		known = append(known, v.Name)
	}
	values, single = map[string]string{}, map[string]string{}
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		switch {
		case !strings.HasPrefix(name, prefix):
		case strings.HasPrefix(name, switchPrefix):
			single[strings.TrimPrefix(name, switchPrefix)] = value
		case slices.Contains(known, name):
			values[name] = value
		default:
			errs = append(errs, fmt.Errorf("unknown variable %s: valid are %s", name, strings.Join(known, ", ")))
		}
	}
	return values, single, errs
}

func or(values map[string]string, name, otherwise string) string {
	if v := values[name]; v != "" {
		return v
	}
	return otherwise
}

func number(values map[string]string, name string, otherwise int) (int, error) {
	v := or(values, name, strconv.Itoa(otherwise))
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > maxQuota {
		return 0, fmt.Errorf("%s: %q is not a number from 1 to %d", name, v, maxQuota)
	}
	return n, nil
}

func seed(values map[string]string, name string) (uint64, error) {
	v := or(values, name, "1")
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %q is not a whole number", name, v)
	}
	return n, nil
}

func base(name, v, scheme string) (string, error) {
	if v == "" {
		return "", nil
	}
	u, err := url.Parse(v)
	if err != nil || (u.Scheme != scheme && u.Scheme != scheme+"s") || u.Host == "" {
		return "", fmt.Errorf("%s: %q is not a URL like %s://host:port", name, v, scheme)
	}
	return strings.TrimSuffix(v, "/"), nil
}

func apiKeys(list string) (map[string]string, error) {
	keys := map[string]string{}
	if list == "" {
		for i := 1; i <= tenants; i++ {
			t := fmt.Sprintf("tenant-%02d", i)
			keys["key-"+t] = t
		}
		return keys, nil
	}
	for pair := range strings.SplitSeq(list, ",") {
		key, tenant, ok := strings.Cut(strings.TrimSpace(pair), ":")
		if !ok || key == "" || tenant == "" {
			return nil, errors.New("PAYSYS_API_KEYS: entries are key:tenant, separated by commas")
		}
		keys[key] = tenant
	}
	return keys, nil
}
