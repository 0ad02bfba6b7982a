-- +goose Up
-- How far the practice has taken over what the journals of nodes hold of it: the number of the last write, for each journal.
CREATE TABLE audit_journal (
    practice_id BIGINT NOT NULL,
    journal     BIGINT NOT NULL,
    number      BIGINT NOT NULL,
    PRIMARY KEY (practice_id, journal)
) /*clustered*/;

-- +goose Down
DROP TABLE audit_journal;
