-- +goose Up
-- Releases of code systems that a practice imported. The description and the packed concepts are sealed.
CREATE TABLE code_release (
  practice_id BIGINT NOT NULL,
  id          BIGINT NOT NULL,   -- keyed hash of system and version
  body        BYTEA NOT NULL,    -- sealed description
  PRIMARY KEY (practice_id, id)
);
CREATE TABLE code_part (
  practice_id BIGINT NOT NULL,
  release_id  BIGINT NOT NULL,
  part        BIGINT NOT NULL,
  body        BYTEA NOT NULL,    -- sealed piece of the packed concepts
  PRIMARY KEY (practice_id, release_id, part)
);
-- Tables of subsumption that clients grow with ConceptMap/$closure.
CREATE TABLE code_closure (
  practice_id BIGINT NOT NULL,
  h           BIGINT NOT NULL,   -- keyed hash of the client's name for it
  body        BYTEA NOT NULL,    -- sealed
  PRIMARY KEY (practice_id, h)
);

-- +goose Down
DROP TABLE code_closure;
DROP TABLE code_part;
DROP TABLE code_release;
