-- +goose Up
-- The Merkle log of the audit. What a transaction records waits in audit_wait. Within a second it gets its positions
-- and moves to audit_fresh. When some five hundred entries have come together they are packed into one row of
-- audit_pack, which stays for ever. Bodies are sealed; edge is the hashes of the complete subtrees up to position.
CREATE TABLE audit_wait (
    practice_id BIGINT NOT NULL,
    id          BIGINT NOT NULL,
    body        BYTEA NOT NULL,
    PRIMARY KEY (practice_id, id)
) /*clustered*/;

-- waits names, in 16 hexadecimal digits each, the rows of audit_wait that moved here.
CREATE TABLE audit_fresh (
    practice_id BIGINT NOT NULL,
    position    BIGINT NOT NULL,
    first       BIGINT NOT NULL,
    waits       TEXT NOT NULL,
    edge        BYTEA NOT NULL,
    body        BYTEA NOT NULL,
    PRIMARY KEY (practice_id, position)
);

-- low and high are the smallest and the greatest id among the entries.
CREATE TABLE audit_pack (
    practice_id BIGINT NOT NULL,
    position    BIGINT NOT NULL,
    first       BIGINT NOT NULL,
    low         BIGINT NOT NULL,
    high        BIGINT NOT NULL,
    edge        BYTEA NOT NULL,
    body        BYTEA NOT NULL,
    PRIMARY KEY (practice_id, position)
);
CREATE UNIQUE INDEX audit_pack_high ON audit_pack (practice_id, high);

-- Which packs hold entries about a patient, by a person, or of a rare action: keyed hashes cut to 32 bits.
CREATE TABLE audit_find (
    practice_id BIGINT NOT NULL,
    key         BIGINT NOT NULL,
    high        BIGINT NOT NULL,
    PRIMARY KEY (practice_id, key, high)
) /*clustered*/;

-- Hashes of complete subtrees of 256 entries and more; place numbers them as golang.org/x/mod/sumdb/tlog does. The
-- smaller ones are computed again from the entries.
CREATE TABLE audit_tree (
    practice_id BIGINT NOT NULL,
    place       BIGINT NOT NULL,
    hash        BYTEA NOT NULL,
    PRIMARY KEY (practice_id, place)
) /*clustered*/;

-- Signed checkpoints: how many entries there were, and the root over them.
CREATE TABLE audit_checkpoint (
    practice_id BIGINT NOT NULL,
    size        BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    note        TEXT NOT NULL,
    PRIMARY KEY (practice_id, size)
);

-- What follows keeps rows from being changed or removed. A row that has moved on may be deleted where it was.

-- +only PostgreSQL
ALTER TABLE audit_pack ALTER COLUMN body SET STORAGE EXTERNAL;

-- +goose StatementBegin
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is only ever added to';
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION audit_wait_moved() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF position(lpad(to_hex(OLD.id), 16, '0') IN coalesce((SELECT waits FROM audit_fresh
        WHERE practice_id = OLD.practice_id ORDER BY position DESC LIMIT 1), '')) = 0 THEN
        RAISE EXCEPTION 'the audit is only ever added to';
    END IF;
    RETURN OLD;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION audit_fresh_moved() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM audit_pack WHERE practice_id = OLD.practice_id AND position >= OLD.position) THEN
        RAISE EXCEPTION 'the audit is only ever added to';
    END IF;
    RETURN OLD;
END $$;
-- +goose StatementEnd

CREATE TRIGGER moves_only BEFORE UPDATE ON audit_wait FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER moved BEFORE DELETE ON audit_wait FOR EACH ROW EXECUTE FUNCTION audit_wait_moved();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON audit_wait FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER moves_only BEFORE UPDATE ON audit_fresh FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER moved BEFORE DELETE ON audit_fresh FOR EACH ROW EXECUTE FUNCTION audit_fresh_moved();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON audit_fresh FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_pack FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON audit_pack FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_find FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON audit_find FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_tree FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON audit_tree FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_checkpoint FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON audit_checkpoint FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
-- +end

-- INSERT OR REPLACE deletes without a delete trigger: the insert triggers refuse it.
-- +only SQLite
-- +goose StatementBegin
CREATE TRIGGER audit_wait_unchanged BEFORE UPDATE ON audit_wait
BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_wait_kept BEFORE DELETE ON audit_wait
WHEN instr(coalesce((SELECT waits FROM audit_fresh WHERE practice_id = OLD.practice_id
    ORDER BY position DESC LIMIT 1), ''), printf('%016x', OLD.id)) = 0
BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_wait_once BEFORE INSERT ON audit_wait
WHEN EXISTS (SELECT 1 FROM audit_wait WHERE practice_id = NEW.practice_id AND id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_fresh_unchanged BEFORE UPDATE ON audit_fresh
BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_fresh_kept BEFORE DELETE ON audit_fresh
WHEN NOT EXISTS (SELECT 1 FROM audit_pack WHERE practice_id = OLD.practice_id AND position >= OLD.position)
BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_fresh_once BEFORE INSERT ON audit_fresh
WHEN EXISTS (SELECT 1 FROM audit_fresh WHERE practice_id = NEW.practice_id AND position = NEW.position)
BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_pack_unchanged BEFORE UPDATE ON audit_pack
BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_pack_kept BEFORE DELETE ON audit_pack
BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_pack_once BEFORE INSERT ON audit_pack
WHEN EXISTS (SELECT 1 FROM audit_pack WHERE practice_id = NEW.practice_id AND (position = NEW.position OR high = NEW.high))
BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_find_unchanged BEFORE UPDATE ON audit_find
BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_find_kept BEFORE DELETE ON audit_find
BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_find_once BEFORE INSERT ON audit_find
WHEN EXISTS (SELECT 1 FROM audit_find WHERE practice_id = NEW.practice_id AND key = NEW.key AND high = NEW.high)
BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_tree_unchanged BEFORE UPDATE ON audit_tree
BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_tree_kept BEFORE DELETE ON audit_tree
BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_tree_once BEFORE INSERT ON audit_tree
WHEN EXISTS (SELECT 1 FROM audit_tree WHERE practice_id = NEW.practice_id AND place = NEW.place)
BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_checkpoint_unchanged BEFORE UPDATE ON audit_checkpoint
BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_checkpoint_kept BEFORE DELETE ON audit_checkpoint
BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_checkpoint_once BEFORE INSERT ON audit_checkpoint
WHEN EXISTS (SELECT 1 FROM audit_checkpoint WHERE practice_id = NEW.practice_id AND size = NEW.size)
BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END;
-- +goose StatementEnd

-- +end
