package target

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
)

// Token returns n random bytes in hex: an id, or a secret of a target.
func Token(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // documented to never return an error
	return hex.EncodeToString(b)
}

// FileSum is the SHA-256 of a file, in hex.
func FileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("hash a file: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("hash a file: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
