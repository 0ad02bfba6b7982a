-- +goose Up
-- The answers kept under the keys of forms that change logins, credentials and sessions, as in a practice.
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
