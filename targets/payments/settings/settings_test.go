package settings

import (
	"strings"
	"testing"

	"chaos/targets/payments/switches"
)

func gatewayEnv(more ...string) []string {
	return append([]string{"HOME=/", "PAYSYS_INTERNAL_TOKEN=t", "PAYSYS_PAYMENTS_URL=http://payments:8080/", "PAYSYS_REDIS_ADDR=redis:6379"}, more...)
}

func TestDefaults(t *testing.T) {
	s, err := Read(Gateway, gatewayEnv(), "box")
	if err != nil {
		t.Fatal(err)
	}
	if s.Listen != ":8080" || s.InternalListen != ":9090" || s.Instance != "box" || s.Quota != 50 || s.Switches.Preset != "resilient" {
		t.Errorf("defaults: %+v", s)
	}
	if len(s.APIKeys) != 20 || s.APIKeys["key-tenant-01"] != "tenant-01" || s.APIKeys["key-tenant-20"] != "tenant-20" {
		t.Errorf("api keys: %v", s.APIKeys)
	}
	if len(s.PaymentsURLs) != 1 || s.PaymentsURLs[0] != "http://payments:8080" {
		t.Errorf("url: %q", s.PaymentsURLs)
	}
}

func TestSwitchVariables(t *testing.T) {
	s, err := Read(Gateway, gatewayEnv("PAYSYS_PRESET=naive", "PAYSYS_SWITCH_ACCEPT_MODE=memqueue", "PAYSYS_SWITCH_RATELIMIT_ON_REDIS_ERROR=payments:local,refunds:closed"), "box")
	if err != nil {
		t.Fatal(err)
	}
	if s.Switches.AcceptMode != switches.AcceptMemqueue || s.Switches.OnRedisError[switches.RoutePayments] != switches.PolicyLocal {
		t.Errorf("switches: %+v", s.Switches)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for _, c := range []struct {
		role Role
		env  []string
		want string
	}{
		{Gateway, gatewayEnv("PAYSYS_QUOTAS=3"), "PAYSYS_QUOTA,"},
		{Gateway, gatewayEnv("PAYSYS_SWITCH_BRAKER=on"), "breaker"},
		{Gateway, gatewayEnv("PAYSYS_PRESET=best"), "naive-queue"},
		{Gateway, gatewayEnv("PAYSYS_QUOTA=-1"), "PAYSYS_QUOTA"},
		{Gateway, gatewayEnv("PAYSYS_API_KEYS=abc"), "key:tenant"},
		{Gateway, gatewayEnv("PAYSYS_PAYMENTS_URL=payments:8080"), "http://host:port"},
		{Gateway, nil, "PAYSYS_INTERNAL_TOKEN is required"},
		{Payments, []string{"PAYSYS_INTERNAL_TOKEN=t"}, "PAYSYS_DATABASE_URL is required"},
		{PSP, []string{"PAYSYS_INTERNAL_TOKEN=t", "PAYSYS_PSP_SEED=x"}, "PAYSYS_PSP_SEED"},
		{"clerk", []string{"PAYSYS_INTERNAL_TOKEN=t"}, "gateway, orders, payments, inventory, notify, recs, psp"},
		{Orders, []string{"PAYSYS_INTERNAL_TOKEN=t"}, "PAYSYS_NATS_URL is required"},
		{Gateway, gatewayEnv("PAYSYS_ORDERS_URL=http://o:1"), "PAYSYS_RECS_URL is required"},
		{Gateway, gatewayEnv("PAYSYS_PAYMENTS_URL=http://a:1,b:1"), "PAYSYS_PAYMENTS_URL"},
		{Notify, []string{"PAYSYS_NATS_URL=http://n:1"}, "nats://host:port"},
	} {
		_, err := Read(c.role, c.env, "box")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %v: error %v must name %q", c.role, c.env, err, c.want)
		}
	}
}
