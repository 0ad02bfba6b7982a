-- +goose Up
-- People whom a directory looks after (SCIM): the directory's own id of them is sealed in body, external is its keyed hash (0: none).
CREATE TABLE scim_user (
  practice_id BIGINT NOT NULL,
  practice    BIGINT NOT NULL,
  user_id     BIGINT NOT NULL,
  external    BIGINT NOT NULL,
  deleted     SMALLINT NOT NULL, -- 1: the directory deleted them; they are disabled and it sees them no more
  changed     BIGINT NOT NULL,
  body        BYTEA NOT NULL,
  PRIMARY KEY (practice_id, practice, user_id)
) /*clustered*/;

-- +goose Down
DROP TABLE scim_user;
