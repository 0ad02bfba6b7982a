-- +goose Up
-- What a practice decided about access, beside the defaults that are compiled in. Names of people and reasons are sealed in body.

-- One row: n grows with every change of the tables below, so that no node answers from rules that are older than a second.
CREATE TABLE kernel_epoch (
  practice_id BIGINT NOT NULL,
  n           BIGINT NOT NULL,
  PRIMARY KEY (practice_id)
) /*clustered*/;

-- Cells of the matrix of roles that differ from the default. kind: permission | type | label.
CREATE TABLE role_rule (
  practice_id BIGINT NOT NULL,
  role        TEXT NOT NULL,
  kind        TEXT NOT NULL,
  name        TEXT NOT NULL,
  value       BIGINT NOT NULL,
  changed     BIGINT NOT NULL,
  changed_by  BIGINT NOT NULL,
  PRIMARY KEY (practice_id, role, kind, name)
) /*clustered*/;

-- Rules about one patient's records: restricted charts and the provisions of consents. source and patient are keyed
-- hashes of the resource the rule was made from and of the patient.
CREATE TABLE chart_rule (
  practice_id BIGINT NOT NULL,
  source      BIGINT NOT NULL,
  part        BIGINT NOT NULL,
  patient     BIGINT NOT NULL,
  until       BIGINT NOT NULL,
  body        BYTEA NOT NULL,
  PRIMARY KEY (practice_id, source, part)
) /*clustered*/;

-- Charts opened in an emergency. until ends the opening, due is when it must have been reviewed, reviewed is when it was (0: not yet).
CREATE TABLE break_glass (
  practice_id BIGINT NOT NULL,
  id          BIGINT NOT NULL,
  user_id     BIGINT NOT NULL,
  patient     BIGINT NOT NULL,
  opened      BIGINT NOT NULL,
  until       BIGINT NOT NULL,
  due         BIGINT NOT NULL,
  reviewed    BIGINT NOT NULL,
  body        BYTEA NOT NULL,
  PRIMARY KEY (practice_id, id)
) /*clustered*/;
CREATE INDEX break_glass_by_end ON break_glass (practice_id, until);
CREATE INDEX break_glass_by_review ON break_glass (practice_id, reviewed, due);

-- Access that the practice granted to the company that hosts it.
CREATE TABLE operator_grant (
  practice_id BIGINT NOT NULL,
  id          BIGINT NOT NULL,
  starts      BIGINT NOT NULL,
  until       BIGINT NOT NULL,
  ended       BIGINT NOT NULL,
  used        BIGINT NOT NULL,
  body        BYTEA NOT NULL,
  PRIMARY KEY (practice_id, id)
) /*clustered*/;

-- What people who hold a permission must be told; seen is when one of them said so (0: not yet).
CREATE TABLE notice (
  practice_id BIGINT NOT NULL,
  id          BIGINT NOT NULL,
  permission  TEXT NOT NULL,
  kind        TEXT NOT NULL,
  at          BIGINT NOT NULL,
  seen        BIGINT NOT NULL,
  body        BYTEA NOT NULL,
  PRIMARY KEY (practice_id, id)
) /*clustered*/;
CREATE INDEX notice_unseen ON notice (practice_id, seen, permission);

-- +goose Down
DROP TABLE notice;
DROP TABLE operator_grant;
DROP TABLE break_glass;
DROP TABLE chart_rule;
DROP TABLE role_rule;
DROP TABLE kernel_epoch;
