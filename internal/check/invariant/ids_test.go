package invariant

import (
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"chaos/internal/journal"
)

func TestIDs(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		var want journal.ID
		for i := range want {
			want[i] = byte(rng.Uint32())
		}
		plain := hex.EncodeToString(want[:])
		dashed := plain[:8] + "-" + plain[8:12] + "-" + plain[12:16] + "-" + plain[16:20] + "-" + plain[20:]
		for _, text := range []string{plain, dashed, strings.ToUpper(dashed), plain + ":2", plain + "-refund"} {
			if id, ok := parseID(text); !ok || id != want {
				t.Fatalf("%s is %s, %v", text, id, ok)
			}
		}
		bad := []byte(plain)
		bad[rng.IntN(len(bad))] = "g/:@`G \x00\xff"[rng.IntN(9)]
		if id, ok := parseID(string(bad)); ok || !id.Zero() {
			t.Fatalf("%q was read as %s", bad, id)
		}
		for _, text := range []string{plain[:31], dashed[:35], dashed[:9] + "-" + dashed[9:35], ""} {
			if id, ok := parseID(text); ok || !id.Zero() {
				t.Fatalf("%q was read as %s", text, id)
			}
		}
	}
	if idOf("a") == idOf("b") || idOf("a") != idOf("a") || idOf("").Zero() {
		t.Error("other texts need ids of their own")
	}
}
