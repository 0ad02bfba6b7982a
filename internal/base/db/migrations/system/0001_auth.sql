-- +goose Up
-- Everything here lies in the system store: practice_id is 0. "practice" is the practice a row is about.
CREATE TABLE practice (
    practice_id BIGINT NOT NULL,
    id          BIGINT NOT NULL,
    slug        TEXT NOT NULL,
    name        TEXT NOT NULL,
    state       TEXT NOT NULL,
    idle_s      BIGINT NOT NULL,
    absolute_s  BIGINT NOT NULL,
    mfa         SMALLINT NOT NULL,
    created     BIGINT NOT NULL,
    PRIMARY KEY (practice_id, id),
    UNIQUE (practice_id, slug)
) /*clustered*/;

-- What contract, agreements and modules allow a practice; written by higher shelves, obeyed by the kernel.
CREATE TABLE access_state (
    practice_id   BIGINT NOT NULL,
    practice      BIGINT NOT NULL,
    contract      TEXT NOT NULL,
    baa_at        BIGINT NOT NULL,
    modules       TEXT NOT NULL,
    consent_epoch BIGINT NOT NULL,
    updated       BIGINT NOT NULL,
    PRIMARY KEY (practice_id, practice)
) /*clustered*/;

-- Numbers given out, never twice.
CREATE TABLE number_series (
    practice_id BIGINT NOT NULL,
    series      TEXT NOT NULL,
    last        BIGINT NOT NULL,
    PRIMARY KEY (practice_id, series)
) /*clustered*/;

-- People. login is a keyed hash; names and secrets are sealed in body.
CREATE TABLE users (
    practice_id BIGINT NOT NULL,
    id          BIGINT NOT NULL,
    login       BIGINT NOT NULL,
    handle      BYTEA NOT NULL,
    state       TEXT NOT NULL,
    password    TEXT NOT NULL,
    body        BYTEA NOT NULL,
    totp        BYTEA,
    totp_step   BIGINT NOT NULL,
    created     BIGINT NOT NULL,
    PRIMARY KEY (practice_id, id),
    UNIQUE (practice_id, login),
    UNIQUE (practice_id, handle)
) /*clustered*/;

CREATE TABLE membership (
    practice_id  BIGINT NOT NULL,
    practice     BIGINT NOT NULL,
    user_id      BIGINT NOT NULL,
    roles        BIGINT NOT NULL,
    practitioner TEXT NOT NULL,
    state        TEXT NOT NULL,
    created      BIGINT NOT NULL,
    PRIMARY KEY (practice_id, practice, user_id)
) /*clustered*/;
CREATE INDEX membership_of_user ON membership (practice_id, user_id);

-- One-use codes: recovery codes and invitations, as keyed hashes.
CREATE TABLE one_use_code (
    practice_id BIGINT NOT NULL,
    user_id     BIGINT NOT NULL,
    kind        TEXT NOT NULL,
    code        BIGINT NOT NULL,
    expires     BIGINT NOT NULL,
    PRIMARY KEY (practice_id, user_id, kind, code)
) /*clustered*/;

CREATE TABLE passkey (
    practice_id BIGINT NOT NULL,
    user_id     BIGINT NOT NULL,
    id          BIGINT NOT NULL,
    credential  BIGINT NOT NULL,
    body        BYTEA NOT NULL,
    created     BIGINT NOT NULL,
    used        BIGINT NOT NULL,
    PRIMARY KEY (practice_id, user_id, id),
    UNIQUE (practice_id, credential)
) /*clustered*/;

-- Passkey ceremonies that were finished, so that none is finished twice before it expires.
CREATE TABLE used_challenge (
    practice_id BIGINT NOT NULL,
    challenge   BYTEA NOT NULL,
    expires     BIGINT NOT NULL,
    PRIMARY KEY (practice_id, challenge)
) /*clustered*/;

-- token is SHA-256 of the 256-bit token in the cookie; address and browser are sealed in body.
CREATE TABLE session (
    practice_id BIGINT NOT NULL,
    token       BYTEA NOT NULL,
    id          BIGINT NOT NULL,
    practice    BIGINT NOT NULL,
    user_id     BIGINT NOT NULL,
    proof       BIGINT NOT NULL,
    created     BIGINT NOT NULL,
    seen        BIGINT NOT NULL,
    proved      BIGINT NOT NULL,
    expires     BIGINT NOT NULL,
    locked      SMALLINT NOT NULL,
    ended       TEXT NOT NULL,
    body        BYTEA NOT NULL,
    PRIMARY KEY (practice_id, token)
) /*clustered*/;
CREATE INDEX session_of_user ON session (practice_id, user_id);
CREATE INDEX session_by_expiry ON session (practice_id, expires);

-- Failed sign-ins counted per login and address, per login, per address, per device; subject is a keyed hash.
CREATE TABLE sign_in_throttle (
    practice_id BIGINT NOT NULL,
    subject     BIGINT NOT NULL,
    failures    BIGINT NOT NULL,
    last_at     BIGINT NOT NULL,
    PRIMARY KEY (practice_id, subject)
) /*clustered*/;
CREATE INDEX sign_in_throttle_by_time ON sign_in_throttle (practice_id, last_at);

-- Browsers a person has signed in from with all factors.
CREATE TABLE known_device (
    practice_id BIGINT NOT NULL,
    user_id     BIGINT NOT NULL,
    device      BYTEA NOT NULL,
    created     BIGINT NOT NULL,
    used        BIGINT NOT NULL,
    body        BYTEA NOT NULL,
    PRIMARY KEY (practice_id, user_id, device)
) /*clustered*/;
