-- +goose Up
-- What must not be destroyed, how long records are kept, and what was destroyed. Who, whose and why are sealed in body.
CREATE TABLE legal_hold (
  practice_id BIGINT NOT NULL,
  id          BIGINT NOT NULL,
  placed      BIGINT NOT NULL,
  lifted      BIGINT NOT NULL, -- 0 while it is in force
  body        BYTEA NOT NULL,
  PRIMARY KEY (practice_id, id)
) /*clustered*/;

CREATE TABLE keeping_rule (
  practice_id BIGINT NOT NULL,
  id          BIGINT NOT NULL,
  changed     BIGINT NOT NULL,
  body        BYTEA NOT NULL,
  PRIMARY KEY (practice_id, id)
) /*clustered*/;

CREATE TABLE removal (
  practice_id BIGINT NOT NULL,
  id          BIGINT NOT NULL,
  at          BIGINT NOT NULL,
  body        BYTEA NOT NULL,
  PRIMARY KEY (practice_id, id)
) /*clustered*/;

-- +goose Down
DROP TABLE removal;
DROP TABLE keeping_rule;
DROP TABLE legal_hold;
