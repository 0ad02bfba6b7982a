-- +goose Up
-- Entries of the audit, only ever added. id is the time in microseconds since 2020 shifted by 12 bits, plus 12
-- random bits. who, patient and action are keyed hashes cut to 32 bits; action is NULL for reads and searches.
CREATE TABLE audit_event (
    practice_id BIGINT NOT NULL,
    id          BIGINT NOT NULL,
    who         BIGINT NOT NULL,
    patient     BIGINT,
    action      BIGINT,
    body        BYTEA NOT NULL,
    PRIMARY KEY (practice_id, id)
) /*clustered*/;
CREATE INDEX audit_event_patient ON audit_event (practice_id, patient, id) WHERE patient IS NOT NULL;
CREATE INDEX audit_event_who ON audit_event (practice_id, who, id);
CREATE INDEX audit_event_action ON audit_event (practice_id, action, id) WHERE action IS NOT NULL;

-- Further patients an entry must be found under, such as those of a list that was shown.
CREATE TABLE audit_link (
    practice_id BIGINT NOT NULL,
    patient     BIGINT NOT NULL,
    id          BIGINT NOT NULL,
    PRIMARY KEY (practice_id, patient, id)
) /*clustered*/;

-- Recordings whose entries have no position in the log yet. ids is NULL when first_id is the only one.
CREATE TABLE audit_new (
    practice_id BIGINT NOT NULL,
    first_id    BIGINT NOT NULL,
    ids         BYTEA,
    PRIMARY KEY (practice_id, first_id)
) /*clustered*/;

-- The log: runs of entries in their order. position is that of the last entry, hash the running hash up to it.
CREATE TABLE audit_block (
    practice_id BIGINT NOT NULL,
    position    BIGINT NOT NULL,
    ids         BYTEA NOT NULL,
    hash        BYTEA NOT NULL,
    PRIMARY KEY (practice_id, position)
) /*clustered*/;
