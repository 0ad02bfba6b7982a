-- +goose Up
-- Programs that may ask for access. Their name, addresses and scopes are sealed in body.
CREATE TABLE oauth_client (
  practice_id BIGINT NOT NULL,
  id          TEXT   NOT NULL,
  state       TEXT   NOT NULL, -- pending | approved | suspended
  secret      BYTEA  NOT NULL, -- SHA-256 of 256 random bits; empty for clients without a secret
  version     BIGINT NOT NULL,
  created     BIGINT NOT NULL, -- µs
  used        BIGINT NOT NULL, -- µs, last token; 0 never
  body        BYTEA  NOT NULL,
  PRIMARY KEY (practice_id, id)
) /*clustered*/;

-- Authorization requests that wait for a person's answer.
CREATE TABLE oauth_ask (
  practice_id BIGINT NOT NULL,
  ask         BYTEA  NOT NULL, -- SHA-256 of its name in the address
  expires     BIGINT NOT NULL,
  body        BYTEA  NOT NULL,
  PRIMARY KEY (practice_id, ask)
) /*clustered*/;
CREATE INDEX oauth_ask_by_expiry ON oauth_ask (practice_id, expires);

-- Launch contexts: which chart was open when a person started a program from it.
CREATE TABLE oauth_launch (
  practice_id BIGINT NOT NULL,
  launch      BYTEA  NOT NULL,
  expires     BIGINT NOT NULL,
  used        BIGINT NOT NULL,
  body        BYTEA  NOT NULL,
  PRIMARY KEY (practice_id, launch)
) /*clustered*/;
CREATE INDEX oauth_launch_by_expiry ON oauth_launch (practice_id, expires);

-- What was granted to whom. Ending a grant ends every token of it.
CREATE TABLE oauth_grant (
  practice_id BIGINT NOT NULL,
  id          BIGINT NOT NULL, -- random
  client      TEXT   NOT NULL,
  user_id     BIGINT NOT NULL, -- 0 for a program that acts for nobody, and for patients
  patient     BIGINT NOT NULL, -- keyed hash of the patient who granted it; 0 for staff
  created     BIGINT NOT NULL,
  used        BIGINT NOT NULL,
  expires     BIGINT NOT NULL,
  ended       TEXT   NOT NULL, -- why it ended; empty while it stands
  body        BYTEA  NOT NULL,
  PRIMARY KEY (practice_id, id)
) /*clustered*/;
CREATE INDEX oauth_grant_of_user ON oauth_grant (practice_id, user_id, client);
CREATE INDEX oauth_grant_of_client ON oauth_grant (practice_id, client);
CREATE INDEX oauth_grant_by_expiry ON oauth_grant (practice_id, expires);

-- Codes (kind 0), access tokens (1) and refresh tokens (2), as SHA-256 of 256 random bits.
CREATE TABLE oauth_token (
  practice_id BIGINT   NOT NULL,
  token       BYTEA    NOT NULL,
  kind        SMALLINT NOT NULL,
  grant_id    BIGINT   NOT NULL,
  created     BIGINT   NOT NULL,
  expires     BIGINT   NOT NULL,
  spent       BIGINT   NOT NULL, -- µs, when a code or refresh token was used; a revoked access token too
  body        BYTEA    NOT NULL,
  PRIMARY KEY (practice_id, token)
) /*clustered*/;
CREATE INDEX oauth_token_of_grant ON oauth_token (practice_id, grant_id);
CREATE INDEX oauth_token_by_expiry ON oauth_token (practice_id, expires);

-- Client assertions that were used, until they expire, so that none is used twice.
CREATE TABLE oauth_assertion (
  practice_id BIGINT NOT NULL,
  jti         BYTEA  NOT NULL, -- SHA-256 of client and jti
  expires     BIGINT NOT NULL,
  PRIMARY KEY (practice_id, jti)
) /*clustered*/;
CREATE INDEX oauth_assertion_by_expiry ON oauth_assertion (practice_id, expires);

-- Keys that identity tokens are signed with, sealed.
CREATE TABLE oauth_key (
  practice_id BIGINT NOT NULL,
  kid         TEXT   NOT NULL,
  created     BIGINT NOT NULL,
  body        BYTEA  NOT NULL,
  PRIMARY KEY (practice_id, kid)
) /*clustered*/;

-- +goose Down
DROP TABLE oauth_key;
DROP TABLE oauth_assertion;
DROP TABLE oauth_token;
DROP TABLE oauth_grant;
DROP TABLE oauth_launch;
DROP TABLE oauth_ask;
DROP TABLE oauth_client;
