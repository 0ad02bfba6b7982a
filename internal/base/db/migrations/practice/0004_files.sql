-- +goose Up
-- The bytes of documents and images: what is stored, where (inline for PostgreSQL nodes, a file for embedded practices), and how large.
CREATE TABLE blob (
  practice_id BIGINT NOT NULL,
  h           BIGINT NOT NULL,   -- keyed hash of the content's SHA-256
  part        BIGINT NOT NULL,   -- chunk number; 0 carries the sealed description
  body        BYTEA NOT NULL,    -- sealed
  PRIMARY KEY (practice_id, h, part)
);

-- +goose Down
DROP TABLE blob;
