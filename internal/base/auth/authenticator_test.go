package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
)

// authenticator is a device with one passkey, as far as the server can tell.
type authenticator struct {
	t       *testing.T
	key     *ecdsa.PrivateKey
	id      []byte
	handle  []byte
	counter uint32

	// What a device or page may get wrong.
	origin string
	rpID   string
	flags  byte
}

const (
	flagPresent  = 0x01
	flagVerified = 0x04
	flagAttested = 0x40
)

func newAuthenticator(t *testing.T) *authenticator {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 32)
	rand.Read(id)
	return &authenticator{t: t, key: key, id: id, counter: 1, origin: "http://localhost:8080", rpID: "localhost", flags: flagPresent | flagVerified}
}

func (v *authenticator) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

// clientData is what the browser signs off.
func (v *authenticator) clientData(typ, challenge string) []byte {
	b, err := json.Marshal(map[string]any{"type": typ, "challenge": challenge, "origin": v.origin, "crossOrigin": false})
	v.must(err)
	return b
}

func (v *authenticator) authData(flags byte, attested []byte) []byte {
	hash := sha256.Sum256([]byte(v.rpID))
	out := append(hash[:], flags)
	out = binary.BigEndian.AppendUint32(out, v.counter)
	return append(out, attested...)
}

// create answers the options of a registration.
func (v *authenticator) create(options []byte) []byte {
	v.t.Helper()
	var o struct {
		PublicKey struct {
			Challenge string
			User      struct{ ID string }
		}
	}
	v.must(json.Unmarshal(options, &o))
	var err error
	v.handle, err = base64URL.DecodeString(o.PublicKey.User.ID)
	v.must(err)
	point, err := v.key.PublicKey.Bytes() // 0x04, X, Y
	v.must(err)
	cose, err := webauthncbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]})
	v.must(err)
	attested := make([]byte, 16)
	attested = binary.BigEndian.AppendUint16(attested, uint16(len(v.id)))
	attested = append(append(attested, v.id...), cose...)
	object, err := webauthncbor.Marshal(map[string]any{
		"fmt": "none", "attStmt": map[string]any{}, "authData": v.authData(v.flags|flagAttested, attested),
	})
	v.must(err)
	return v.credential(map[string]any{
		"clientDataJSON":    base64URL.EncodeToString(v.clientData("webauthn.create", o.PublicKey.Challenge)),
		"attestationObject": base64URL.EncodeToString(object),
	})
}

// get answers the options of a sign-in.
func (v *authenticator) get(options []byte) []byte {
	v.t.Helper()
	var o struct{ PublicKey struct{ Challenge string } }
	v.must(json.Unmarshal(options, &o))
	client := v.clientData("webauthn.get", o.PublicKey.Challenge)
	v.counter++
	data := v.authData(v.flags, nil)
	hash := sha256.Sum256(client)
	digest := sha256.Sum256(append(append([]byte(nil), data...), hash[:]...))
	sig, err := ecdsa.SignASN1(rand.Reader, v.key, digest[:])
	v.must(err)
	return v.credential(map[string]any{
		"clientDataJSON":    base64URL.EncodeToString(client),
		"authenticatorData": base64URL.EncodeToString(data),
		"signature":         base64URL.EncodeToString(sig),
		"userHandle":        base64URL.EncodeToString(v.handle),
	})
}

func (v *authenticator) credential(response map[string]any) []byte {
	id := base64URL.EncodeToString(v.id)
	b, err := json.Marshal(map[string]any{
		"id": id, "rawId": id, "type": "public-key", "response": response, "clientExtensionResults": map[string]any{},
	})
	v.must(err)
	return b
}
