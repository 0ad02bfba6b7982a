-- +goose Up
-- Subscriptions of programs to what happens in the practice: how far each is, what is to be told, and the hosts that may be told.
CREATE TABLE subscription (
  practice_id BIGINT NOT NULL,
  h           BIGINT NOT NULL,   -- keyed hash of the resource's id
  state       SMALLINT NOT NULL, -- 0 requested, 1 active, 2 error, 3 off
  step        BIGINT NOT NULL,   -- counts what was stored, so that one sender goes on
  n           BIGINT NOT NULL,   -- number of the last event
  sent        BIGINT NOT NULL,   -- number of the last event that was taken by the receiver
  delivered   BIGINT NOT NULL,   -- when something was taken last; 0 for never
  due         BIGINT NOT NULL,   -- when something is to be sent next, unless there are events
  lease       BIGINT NOT NULL,   -- until when somebody is sending
  body        BYTEA NOT NULL,    -- sealed
  PRIMARY KEY (practice_id, h)
);

-- What is told, by number. Rows go after a week.
CREATE TABLE subscription_event (
  practice_id BIGINT NOT NULL,
  h           BIGINT NOT NULL,
  n           BIGINT NOT NULL,
  at          BIGINT NOT NULL,
  body        BYTEA NOT NULL,    -- sealed
  PRIMARY KEY (practice_id, h, n)
);
CREATE INDEX subscription_event_by_time ON subscription_event (practice_id, at);

-- Up to which change of the practice events have been made.
CREATE TABLE subscription_mark (
  practice_id BIGINT NOT NULL,
  seq         BIGINT NOT NULL,
  PRIMARY KEY (practice_id)
);

CREATE TABLE subscription_host (
  practice_id BIGINT NOT NULL,
  h           BIGINT NOT NULL,   -- keyed hash of the host's name
  body        BYTEA NOT NULL,    -- sealed
  PRIMARY KEY (practice_id, h)
);

-- +goose Down
DROP TABLE subscription_host;
DROP TABLE subscription_mark;
DROP TABLE subscription_event;
DROP TABLE subscription;
