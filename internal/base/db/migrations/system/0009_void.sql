-- +goose Up
-- What a person let programs do in a practice up to this moment (µs) counts no more: they were disabled then, or their credentials taken.
ALTER TABLE membership ADD COLUMN void_before BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE membership DROP COLUMN void_before;
