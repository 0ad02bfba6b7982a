-- +goose Up
-- Notes being written. What a person typed is in the sealed columns head and body only.
CREATE TABLE note_draft (
  practice_id BIGINT   NOT NULL,
  draft       TEXT     NOT NULL,
  patient     BIGINT   NOT NULL, -- keyed hash of the patient id
  author      BIGINT   NOT NULL, -- user id
  state       SMALLINT NOT NULL, -- 0 open, 1 signed, 2 discarded
  pen         BIGINT   NOT NULL, -- generation of the pen
  writer      TEXT     NOT NULL, -- window that holds it
  writer_user BIGINT   NOT NULL,
  seen        BIGINT   NOT NULL, -- µs, last sign of life of that window
  version     BIGINT   NOT NULL,
  started     BIGINT   NOT NULL, -- µs
  head        BYTEA    NOT NULL,
  PRIMARY KEY (practice_id, draft)
) /*clustered*/;
CREATE INDEX note_draft_patient ON note_draft (practice_id, patient, state);
CREATE INDEX note_draft_author ON note_draft (practice_id, author, state);

-- The log: every save of every window, in the order of the window's own counter.
CREATE TABLE note_words (
  practice_id BIGINT   NOT NULL,
  draft       TEXT     NOT NULL,
  writer      TEXT     NOT NULL,
  seq         BIGINT   NOT NULL,
  pen         BIGINT   NOT NULL,
  late        SMALLINT NOT NULL, -- 1 saved after the pen had passed on, 2 and looked at
  user_id     BIGINT   NOT NULL,
  saved       BIGINT   NOT NULL, -- µs
  body        BYTEA    NOT NULL,
  PRIMARY KEY (practice_id, draft, writer, seq)
);

-- +goose Down
DROP TABLE note_words;
DROP TABLE note_draft;
