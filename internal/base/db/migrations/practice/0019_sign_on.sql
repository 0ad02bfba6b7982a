-- +goose Up
-- Identity providers through which a practice's people sign in. Addresses, secrets and certificates are sealed in body.
CREATE TABLE sign_on_connection (
  practice_id BIGINT NOT NULL,
  id          TEXT   NOT NULL,
  created     BIGINT NOT NULL, -- µs
  body        BYTEA  NOT NULL,
  PRIMARY KEY (practice_id, id)
) /*clustered*/;

-- People who were sent to a provider and have not come back yet.
CREATE TABLE sign_on_ask (
  practice_id BIGINT NOT NULL,
  ask         BYTEA  NOT NULL, -- SHA-256 of its state
  expires     BIGINT NOT NULL,
  body        BYTEA  NOT NULL,
  PRIMARY KEY (practice_id, ask)
) /*clustered*/;
CREATE INDEX sign_on_ask_by_expiry ON sign_on_ask (practice_id, expires);

-- What providers said and was used, until it expires, so that nothing is used twice.
CREATE TABLE sign_on_used (
  practice_id BIGINT NOT NULL,
  what        BYTEA  NOT NULL, -- SHA-256 of connection and the statement's own id
  expires     BIGINT NOT NULL,
  PRIMARY KEY (practice_id, what)
) /*clustered*/;
CREATE INDEX sign_on_used_by_expiry ON sign_on_used (practice_id, expires);

-- Keys with which a directory keeps the practice's people up to date (SCIM), as SHA-256 of 256 random bits.
CREATE TABLE scim_key (
  practice_id BIGINT NOT NULL,
  id          TEXT   NOT NULL,
  token       BYTEA  NOT NULL,
  created     BIGINT NOT NULL,
  expires     BIGINT NOT NULL,
  used        BIGINT NOT NULL, -- µs; 0 never
  body        BYTEA  NOT NULL,
  PRIMARY KEY (practice_id, id)
) /*clustered*/;
CREATE INDEX scim_key_by_token ON scim_key (practice_id, token);

-- +goose Down
DROP TABLE scim_key;
DROP TABLE sign_on_used;
DROP TABLE sign_on_ask;
DROP TABLE sign_on_connection;
