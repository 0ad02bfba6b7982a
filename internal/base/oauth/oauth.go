package oauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"log/slog"
	"strings"
	"sync"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/egress"
	"yarrow.health/internal/standards/fhir"
)

// Options are what the server stands on.
type Options struct {
	DB     *db.DB
	Auth   *auth.Auth
	Audit  *audit.Log
	Egress *egress.Client // fetches the key sets of clients; nil: only clients whose keys are registered inline can sign in with keys
	Base   string         // address that people and programs use, without a slash at its end: "https://ehr.example.org"
	Log    *slog.Logger
}

// Server is the authorization server of all practices. It is safe for concurrent use.
type Server struct {
	db     *db.DB
	auth   *auth.Auth
	audit  *audit.Log
	egress *egress.Client
	clock  *clock.Clock
	base   string
	log    *slog.Logger

	mu      sync.Mutex
	clients map[db.PracticeID]clientList
	keys    map[db.PracticeID]keyList
	tokens  map[tokenKey]liveToken
	forgets uint64 // how often something was forgotten: what was read before may be older than the reason
	sets    map[string]keySet
	noted   map[secretUse]time.Time // minute of the last use that is stored
	asks    map[db.PracticeID]int   // authorization requests in the second that runs
	second  int64
}

// New returns the server.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{db: o.DB, auth: o.Auth, audit: o.Audit, egress: o.Egress, clock: o.DB.Clock(), base: strings.TrimRight(o.Base, "/"), log: o.Log,
		clients: map[db.PracticeID]clientList{}, keys: map[db.PracticeID]keyList{}, tokens: map[tokenKey]liveToken{}, sets: map[string]keySet{}, noted: map[secretUse]time.Time{}, asks: map[db.PracticeID]int{}}
}

// Issuer is the address that names a practice's server in tokens.
func (s *Server) Issuer(p auth.Practice) string { return s.base + "/" + p.Slug }

// FHIRBase is the address of a practice's FHIR API, the only audience of its tokens.
func (s *Server) FHIRBase(p auth.Practice) string { return s.Issuer(p) + "/fhir" }

// work is the scope of the package's own reading and writing in a practice's store.
func work(p db.PracticeID) auth.System { return auth.SystemScope(p, "oauth") }

// fresh says whether something read at a time may still be used. Every change this process makes is forgotten at once; a second
// is what another process's change may take.
func (s *Server) fresh(read time.Time) bool {
	age := s.clock.Since(read)
	return age >= 0 && age < time.Second
}

// forget drops whatever is remembered of a practice.
func (s *Server) forget(p db.PracticeID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgets++
	delete(s.clients, p)
	delete(s.keys, p)
	for k := range s.tokens {
		if k.practice == p {
			delete(s.tokens, k)
		}
	}
}

// change makes a change as somebody, on record in the same transaction.
func (s *Server) change(ctx context.Context, by db.Scope, e audit.Event, fn func(tx *db.Tx) error) error {
	defer s.forget(by.Practice())
	return s.db.Do(ctx, by, func(tx *db.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		s.audit.Record(tx, e)
		return nil
	})
}

// may says whether a scope may administer the practice's programs.
func may(by db.Scope) error {
	if !auth.Allowed(by, auth.PracticeAdmin) {
		return fhir.Problem("forbidden", "Only an administrator of the practice decides about programs.", "Ask an administrator.")
	}
	return nil
}

// What random texts are for. The first letters let scanners of leaked secrets recognise them.
const (
	prefixAccess  = "yrw-at."
	prefixRefresh = "yrw-rt."
	prefixCode    = "yrw-ac."
	prefixLaunch  = "yrw-la."
	prefixSecret  = "yrw-cs."
	prefixAsk     = "ask-"
)

// random is 256 random bits as text.
func random(prefix string) string {
	b := make([]byte, 32)
	rand.Read(b)
	return prefix + base64.RawURLEncoding.EncodeToString(b)
}

func randomID() int64 {
	var b [8]byte
	rand.Read(b[:])
	return int64(binary.BigEndian.Uint64(b[:]) >> 1)
}

// digest is how random texts are kept.
func digest(text string) [sha256.Size]byte { return sha256.Sum256([]byte(text)) }
