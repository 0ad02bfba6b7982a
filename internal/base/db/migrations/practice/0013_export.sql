-- +goose Up
-- Bulk exports: what was asked and how far it is, and the files, in parts, until they expire.
CREATE TABLE export (
  practice_id BIGINT NOT NULL,
  h           BIGINT NOT NULL,   -- keyed hash of the secret in its address
  owner       BIGINT NOT NULL,   -- keyed hash of who asked
  state       SMALLINT NOT NULL, -- 0 at work, 1 done, 2 failed
  step        BIGINT NOT NULL,   -- counts what was stored, so that one worker goes on
  expires     BIGINT NOT NULL,
  body        BYTEA NOT NULL,    -- sealed
  PRIMARY KEY (practice_id, h)
);
CREATE INDEX export_by_end ON export (practice_id, expires);
CREATE INDEX export_by_owner ON export (practice_id, owner, state);

CREATE TABLE export_part (
  practice_id BIGINT NOT NULL,
  h           BIGINT NOT NULL,
  file        BIGINT NOT NULL,
  part        BIGINT NOT NULL,
  body        BYTEA NOT NULL,    -- sealed
  PRIMARY KEY (practice_id, h, file, part)
);

-- +goose Down
DROP TABLE export_part;
DROP TABLE export;
