-- Resources, their superseded versions and their search index. No column holds a name, a code or any
-- other text in the clear: idh, patient, encounter, author and h are keyed hashes, bodies are sealed.

-- +goose Up

-- One row per logical resource: its current version, or its tombstone when deleted.
--   rid     local number of the resource; never shown, never reused
--   seq     when this version was written, in microseconds UTC, strictly increasing within the practice:
--           the change sequence and meta.lastUpdated in one
--   date    clinical date (start, microseconds) that orders lists; span is its length,
--           -1 without end, -2 several dates (the earliest is in date), -3 no value of the date parameter
--   facet   64-bit filter over the values of unselective parameters (status, category)
--   patient, encounter, author: idh of that resource, 0 for none
CREATE TABLE resource (
  practice_id BIGINT NOT NULL,
  rid BIGINT NOT NULL,
  idh BIGINT NOT NULL,
  version BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  date BIGINT NOT NULL,
  span BIGINT NOT NULL,
  facet BIGINT NOT NULL,
  patient BIGINT NOT NULL,
  encounter BIGINT NOT NULL,
  author BIGINT NOT NULL,
  labels BIGINT NOT NULL,
  type SMALLINT NOT NULL,
  deleted SMALLINT NOT NULL,
  idx_keys BYTEA NOT NULL,
  body BYTEA NOT NULL,
  PRIMARY KEY (practice_id, rid)
);
CREATE UNIQUE INDEX resource_idh ON resource (practice_id, idh);
CREATE UNIQUE INDEX resource_seq ON resource (practice_id, seq);
CREATE INDEX resource_date ON resource (practice_id, type, date, rid, span);

-- Superseded versions.
CREATE TABLE history (
  practice_id BIGINT NOT NULL,
  rid BIGINT NOT NULL,
  version BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  author BIGINT NOT NULL,
  labels BIGINT NOT NULL,
  deleted SMALLINT NOT NULL,
  body BYTEA NOT NULL,
  PRIMARY KEY (practice_id, rid, version)
);

-- Search keys compared for equality. h is the keyed hash of type, parameter and value; d repeats
-- resource.date, so that one key yields a list in clinical order and two keys meet by primary key.
CREATE TABLE hkey (
  practice_id BIGINT NOT NULL,
  h BIGINT NOT NULL,
  d BIGINT NOT NULL,
  rid BIGINT NOT NULL,
  PRIMARY KEY (practice_id, h, d, rid)
) /*clustered*/;

-- Search keys compared by order: dates in microseconds, numbers in an order-preserving integer form.
-- p is the keyed hash of type and parameter (and code, for values of an Observation).
CREATE TABLE rkey (
  practice_id BIGINT NOT NULL,
  p BIGINT NOT NULL,
  lo BIGINT NOT NULL,
  hi BIGINT NOT NULL,
  rid BIGINT NOT NULL,
  PRIMARY KEY (practice_id, p, lo, hi, rid)
) /*clustered*/;

-- The last rid and seq given out.
CREATE TABLE fhir_counter (
  practice_id BIGINT NOT NULL,
  rid BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  PRIMARY KEY (practice_id)
);

-- Rows to lock while a conditional write looks for a match: 1,024 slots of the criteria's hash.
CREATE TABLE fhir_lock (
  practice_id BIGINT NOT NULL,
  slot BIGINT NOT NULL,
  PRIMARY KEY (practice_id, slot)
);

-- Files taken in by import, by the keyed hash of their content; entries counts what is committed.
CREATE TABLE import_file (
  practice_id BIGINT NOT NULL,
  h BIGINT NOT NULL,
  entries BIGINT NOT NULL,
  done SMALLINT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (practice_id, h)
);

-- +goose Down
DROP TABLE import_file;
DROP TABLE fhir_lock;
DROP TABLE fhir_counter;
DROP TABLE rkey;
DROP TABLE hkey;
DROP TABLE history;
DROP TABLE resource;
