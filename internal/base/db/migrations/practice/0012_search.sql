-- +goose Up
-- Superseded versions in the order in which they were written: the history of a type or of the practice.
CREATE UNIQUE INDEX history_seq ON history (practice_id, seq);

-- By which form of the index the rows of hkey and rkey were computed. Rows of resources after rid are of the
-- form before; a practice without a row has the first one throughout, or nothing.
CREATE TABLE index_state (
  practice_id BIGINT NOT NULL,
  form        BIGINT NOT NULL, -- being brought about
  rid         BIGINT NOT NULL, -- reached so far
  done        SMALLINT NOT NULL,
  PRIMARY KEY (practice_id)
);

-- +goose Down
DROP TABLE index_state;
DROP INDEX history_seq;
