package db

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// pgSession runs one transaction in the pipeline mode of the protocol: the practice's setting, BEGIN and everything
// queued travel with the first statement whose answer is needed, in one round trip.
type pgSession struct {
	conn     *pgConn
	pipe     *pgconn.Pipeline
	practice PracticeID
	readOnly bool
	glance   bool // no transaction around the statements; see DB.Glance
	local    bool // the practice is set within the transaction; see own

	begun   bool
	pending []pending // sent, answers not read
	rows    *pgCursor // answers being read
	failed  error     // the server refuses everything but ROLLBACK
	crowded bool      // see Tx.Crowded

	// Of a transaction that many share, see pgWriter:
	shared  bool
	by      *Tx  // whose statements come now
	wrote   bool // it has sent what may have written
	reads   *Tx  // whose answer is being read; nil for that of the COMMIT
	culprit *Tx  // whose statement failed
	common  map[any]any
	line    *baton // where those stand who come next
}

// pending says which answer comes next.
type pending struct {
	prepares *pgNamed
	owns     bool   // the end of the setting of the practice
	undo     func() // forget a name that the server may not have
	by       *Tx    // whose it is, where many share the transaction
}

var binaryResults = []int16{1}

// begin puts the practice and BEGIN in front of the first statement.
func (s *pgSession) begin() {
	if s.begun {
		return
	}
	s.begun = true
	if !s.local {
		s.own()
	}
	if s.glance {
		return
	}
	text := "BEGIN READ WRITE"
	if s.readOnly {
		text = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
	}
	s.raw(text)
	if s.local && s.practice != System {
		s.raw("SET LOCAL" + s.setting())
	}
}

// own has the connection belong to the practice: row security reads app.practice. The setting outlasts the transaction, so that
// the next one of the same practice need not make it again. It is made in a round of its own before BEGIN, which no ROLLBACK
// takes back, and pgConn.practice is what the server has confirmed. Every statement names its practice besides: should the two
// ever differ, nothing is found and nothing written.
//
// Citus passes only what is set within a transaction on to its workers; see pgSession.local.
func (s *pgSession) own() {
	if s.practice == System || s.conn.practice == s.practice {
		return
	}
	s.conn.practice = System
	s.raw("SET" + s.setting())
	s.pipe.SendPipelineSync()
	s.pending = append(s.pending, pending{owns: true, by: s.by})
}

// setting is a number we print ourselves: set_config would not be passed on to the workers of Citus.
func (s *pgSession) setting() string {
	return " app.practice = '" + strconv.FormatInt(int64(s.practice), 10) + "'"
}

// rawLimit bounds the texts a connection keeps prepared: a few, and one for each practice it has served.
const rawLimit = 64

// raw sends a text of ours without parameters. The server parses it once for each connection.
func (s *pgSession) raw(text string) {
	name, known := s.conn.raw[text]
	if !known && len(s.conn.raw) < rawLimit && s.failed == nil {
		name = s.prepareRaw(text)
	}
	if name == "" {
		s.pipe.SendQueryParams(text, nil, nil, nil, nil)
	} else {
		s.pipe.SendQueryPrepared(name, nil, nil, nil)
	}
	s.pending = append(s.pending, pending{by: s.by})
}

func (s *pgSession) prepareRaw(text string) string {
	c := s.conn
	c.named++
	name := "y" + strconv.Itoa(c.named)
	if c.raw == nil {
		c.raw = make(map[string]string)
	}
	c.raw[text] = name
	s.pipe.SendPrepare(name, text, nil)
	s.pending = append(s.pending, pending{by: s.by, undo: func() { delete(c.raw, text) }})
	return name
}

// params are the arguments of a statement as they are sent.
type params struct {
	sig     string // their types, a letter each
	values  [][]byte
	formats []int16
}

func encodeParams(args []any) (params, error) {
	p := params{values: make([][]byte, len(args)), formats: make([]int16, len(args))}
	var sigBuf [32]byte
	sig := sigBuf[:0]
	var scratch []byte
	for i, a := range args {
		var t byte
		var err error
		p.values[i], scratch, t, err = encodeParam(scratch, a)
		if err != nil {
			return params{}, err
		}
		p.formats[i] = 1
		sig = append(sig, t)
	}
	p.sig = string(sig)
	return p, nil
}

// send puts a statement into the pipeline.
func (s *pgSession) send(st *Stmt, args []any) error {
	p, err := encodeParams(args)
	if err == nil {
		s.sendParams(st, p)
	}
	return err
}

// sendParams is send of what is encoded. The statement is prepared when this connection has not seen it with these types.
func (s *pgSession) sendParams(st *Stmt, p params) {
	n, ok := s.conn.prepared[st][p.sig]
	if !ok {
		n = s.prepare(st, p.sig)
	}
	if n.desc != nil && len(n.desc.Fields) > 0 {
		s.pipe.SendQueryStatement(n.desc, p.values, p.formats, binaryResults)
	} else {
		s.pipe.SendQueryPrepared(n.name, p.values, p.formats, binaryResults)
	}
	s.wrote = s.wrote || !st.harmless
	s.pending = append(s.pending, pending{by: s.by})
}

func (s *pgSession) prepare(st *Stmt, sig string) *pgNamed {
	c := s.conn
	c.named++
	n := &pgNamed{name: "y" + strconv.Itoa(c.named)}
	oids := make([]uint32, len(sig))
	for i := range oids {
		oids[i] = paramOID(sig[i])
	}
	if c.prepared[st] == nil {
		c.prepared[st] = make(map[string]*pgNamed, 1)
	}
	c.prepared[st][sig] = n
	s.pipe.SendPrepare(n.name, st.postgres, oids)
	s.pending = append(s.pending, pending{prepares: n, by: s.by, undo: func() { delete(c.prepared[st], sig) }})
	return n
}

// settle flushes and reads the answers to all pending requests but the last `keep`.
func (s *pgSession) settle(keep int) error {
	for len(s.pending) > keep {
		if err := s.answer(); err != nil {
			return err
		}
	}
	return nil
}

// answer reads one answer and drops its rows.
func (s *pgSession) answer() error {
	p := s.pending[0]
	s.reads = p.by
	res, err := s.pipe.GetResults()
	if err == nil {
		s.pending = s.pending[1:]
		switch r := res.(type) {
		case *pgconn.StatementDescription:
			if p.prepares != nil {
				r.Name, p.prepares.desc = p.prepares.name, r
			}
			return nil
		case *pgconn.PipelineSync:
			if !p.owns {
				return s.fail(errors.New("db: PostgreSQL answered out of turn"))
			}
			s.conn.practice = s.practice
			return nil
		case *pgconn.ResultReader:
			_, err = r.Close()
			if err == nil {
				return nil
			}
		default:
			err = fmt.Errorf("db: unexpected answer %T from PostgreSQL", res)
		}
	} else if p.undo != nil {
		p.undo()
	}
	return s.fail(err)
}

// fail notes that the transaction is lost, and reads up to the next point at which the server listens again.
func (s *pgSession) fail(err error) error {
	s.failed, s.culprit = err, s.reads
	for _, p := range s.pending {
		if p.undo != nil {
			p.undo()
		}
		if p.owns { // what was sent behind it is still carried out, in nobody's name: the connection is of no more use
			s.conn.cut = true
		}
	}
	s.pending = nil
	s.drain()
	return err
}

// drain reads on to the end of the round trip.
func (s *pgSession) drain() {
	for {
		res, err := s.pipe.GetResults()
		if _, ok := res.(*pgconn.PipelineSync); ok || (res == nil && err == nil) {
			return
		}
		var pg *pgconn.PgError
		if err != nil && !errors.As(err, &pg) {
			return // the connection is gone
		}
	}
}

// sync ends a round trip: everything sent so far is executed, and the answers can be read.
func (s *pgSession) sync() error {
	if err := s.pipe.Sync(); err != nil {
		s.failed = err
		return err
	}
	return nil
}

// free makes the connection ready for the next statement: rows still to be read are taken into memory.
func (s *pgSession) free() error {
	if s.failed != nil {
		return s.failed
	}
	if s.rows != nil {
		return s.rows.detach()
	}
	return nil
}

func (s *pgSession) exec(_ context.Context, st *Stmt, args []any) (int64, error) {
	if err := s.free(); err != nil {
		return 0, err
	}
	s.begin()
	if err := s.send(st, args); err != nil {
		return 0, err
	}
	if err := s.sync(); err != nil {
		return 0, err
	}
	if err := s.settle(1); err != nil {
		return 0, err
	}
	tag, err := s.finalTag()
	return tag.RowsAffected(), err
}

// finalTag reads the last pending answer and ends the round trip.
func (s *pgSession) finalTag() (pgconn.CommandTag, error) {
	s.reads = s.by
	res, err := s.pipe.GetResults()
	if err != nil {
		return pgconn.CommandTag{}, s.fail(err)
	}
	r, ok := res.(*pgconn.ResultReader)
	if !ok {
		return pgconn.CommandTag{}, s.fail(fmt.Errorf("db: unexpected answer %T from PostgreSQL", res))
	}
	s.pending = s.pending[:0]
	tag, err := r.Close()
	if err != nil {
		return tag, s.fail(err)
	}
	s.drain()
	return tag, nil
}

// queueLimit is how many statements may wait for a round trip; beyond it both sides would only buffer.
const queueLimit = 256

func (s *pgSession) queue(_ context.Context, st *Stmt, args []any) error {
	if err := s.free(); err != nil {
		return err
	}
	s.begin()
	if err := s.send(st, args); err != nil {
		return err
	}
	if len(s.pending) < queueLimit {
		return nil
	}
	if err := s.sync(); err != nil {
		return err
	}
	if err := s.settle(0); err != nil {
		return err
	}
	s.drain()
	return nil
}

func (s *pgSession) query(_ context.Context, st *Stmt, args []any) (cursor, error) {
	if err := s.free(); err != nil {
		return nil, err
	}
	s.begin()
	if err := s.send(st, args); err != nil {
		return nil, err
	}
	if err := s.sync(); err != nil {
		return nil, err
	}
	if err := s.settle(1); err != nil {
		return nil, err
	}
	s.reads = s.by
	res, err := s.pipe.GetResults()
	if err != nil {
		return nil, s.fail(err)
	}
	r, ok := res.(*pgconn.ResultReader)
	if !ok {
		return nil, s.fail(fmt.Errorf("db: unexpected answer %T from PostgreSQL", res))
	}
	s.pending = s.pending[:0]
	s.rows = &pgCursor{s: s, r: r, fields: r.FieldDescriptions()}
	return s.rows, nil
}

// insertMany sends the rows column by column: one statement however many rows, and no statement text of its own
// length.
func (s *pgSession) insertMany(ctx context.Context, ins *Insert, rows [][]any) error {
	const chunk = 1000
	for len(rows) > 0 {
		n := min(chunk, len(rows))
		if n == 1 {
			return s.queue(ctx, ins.row, rows[0])
		}
		cols, nulls, err := columnsOf(len(ins.cols), rows[:n])
		if err != nil {
			return fmt.Errorf("db: rows of %s: %w", ins.table, err)
		}
		if err := s.queue(ctx, ins.many(nulls), cols); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// many is the statement for rows given as columns. A column of NULLs only has no type, so it is written out.
func (ins *Insert) many(nulls string) *Stmt {
	ins.mu.Lock()
	defer ins.mu.Unlock()
	if st := ins.byNulls[nulls]; st != nil {
		return st
	}
	var list, args, names []string
	for i := range ins.cols {
		if nulls[i] == 'n' {
			list = append(list, "NULL")
			continue
		}
		name := "c" + strconv.Itoa(i+1)
		list, names = append(list, name), append(names, name)
		args = append(args, "$"+strconv.Itoa(len(args)+1))
	}
	text := ins.head() + " SELECT " + strings.Join(list, ", ") +
		" FROM unnest(" + strings.Join(args, ", ") + ") AS r (" + strings.Join(names, ", ") + ")" + ins.tail()
	st := &Stmt{postgres: text, params: len(args)}
	if ins.byNulls == nil {
		ins.byNulls = make(map[string]*Stmt)
	}
	ins.byNulls[nulls] = st
	return st
}

// commit ends the transaction. It is durable when commit returns nil.
func (s *pgSession) commit() error {
	if err := s.free(); err != nil {
		return err
	}
	if !s.begun {
		return nil
	}
	s.by = nil
	s.raw("COMMIT")
	if err := s.sync(); err != nil {
		return err
	}
	if err := s.settle(1); err != nil {
		return err
	}
	tag, err := s.finalTag()
	if err == nil && tag.String() != "COMMIT" {
		err = fmt.Errorf("db: PostgreSQL answered %s to COMMIT", tag.String())
	}
	return err
}

// end ends a transaction that has read only, without waiting for the answer. It says whether it could.
func (s *pgSession) end() bool {
	if s.free() != nil || len(s.pending) > 0 {
		return false
	}
	if !s.begun {
		return false
	}
	if name := s.conn.raw["COMMIT"]; name != "" {
		s.pipe.SendQueryPrepared(name, nil, nil, nil)
	} else {
		name = s.prepareRaw("COMMIT")
		s.pending = nil // whoever settles the connection reads all there is, and ends it when that fails
		s.pipe.SendQueryPrepared(name, nil, nil, nil)
	}
	if s.pipe.Sync() != nil {
		return false
	}
	s.conn.ending = s.pipe
	return true
}

// rollback ends the transaction without effect. A connection that cannot is ended by the pool.
func (s *pgSession) rollback() {
	if !s.begun || s.conn.c.IsClosed() {
		return
	}
	if s.rows != nil {
		s.rows.discard()
	}
	s.failed = nil
	s.raw("ROLLBACK")
	if s.sync() != nil {
		return
	}
	if s.settle(1) != nil { // something queued failed; the server skipped the ROLLBACK with the rest
		s.failed = nil
		s.raw("ROLLBACK")
		if s.sync() != nil {
			return
		}
	}
	_, _ = s.finalTag()
}
