-- +goose Up
-- Work to be done later, what happened (the outbox), how far each subscriber has read, and the answers kept under idempotency keys.
CREATE TABLE job (
  practice_id BIGINT NOT NULL,
  id          BIGINT NOT NULL,
  kind        TEXT NOT NULL,
  ukey        BIGINT NOT NULL,  -- keyed hash of the unique key; the job's own id when it has none
  state       SMALLINT NOT NULL, -- 0 ready, 1 running, 2 done, 3 dead
  run_at      BIGINT NOT NULL,  -- when it may run; while it runs, when its lease ends
  attempt     BIGINT NOT NULL,
  attempts    BIGINT NOT NULL,  -- how often it may be tried
  created     BIGINT NOT NULL,
  finished    BIGINT NOT NULL,
  body        BYTEA NOT NULL,   -- sealed payload
  problem     BYTEA NOT NULL,   -- sealed text of the last failure
  PRIMARY KEY (practice_id, id)
);
CREATE INDEX job_by_due ON job (practice_id, state, run_at, id);
CREATE UNIQUE INDEX job_unique ON job (practice_id, kind, ukey);

CREATE TABLE outbox (
  practice_id BIGINT NOT NULL,
  seq         BIGINT NOT NULL,
  kind        TEXT NOT NULL,
  at          BIGINT NOT NULL,
  body        BYTEA NOT NULL,   -- sealed payload
  PRIMARY KEY (practice_id, seq)
);

CREATE TABLE outbox_reader (
  practice_id BIGINT NOT NULL,
  name        TEXT NOT NULL,
  seq         BIGINT NOT NULL,
  PRIMARY KEY (practice_id, name)
);

CREATE TABLE jobs_counter (
  practice_id BIGINT NOT NULL,
  name        TEXT NOT NULL,
  n           BIGINT NOT NULL,
  PRIMARY KEY (practice_id, name)
);

CREATE TABLE idempotency (
  practice_id BIGINT NOT NULL,
  h           BIGINT NOT NULL,  -- keyed hash of principal, route and key
  request     BIGINT NOT NULL,  -- keyed hash of what was asked
  at          BIGINT NOT NULL,
  body        BYTEA NOT NULL,   -- sealed answer
  PRIMARY KEY (practice_id, h)
);

-- +goose Down
DROP TABLE idempotency;
DROP TABLE jobs_counter;
DROP TABLE outbox_reader;
DROP TABLE outbox;
DROP TABLE job;
