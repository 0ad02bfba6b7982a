-- +goose Up
-- In which minute a program last proved itself by its present secret, and by the one before it while that still works (µs; 0 never).
ALTER TABLE oauth_client ADD COLUMN secret_used BIGINT NOT NULL DEFAULT 0;
ALTER TABLE oauth_client ADD COLUMN former_used BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE oauth_client DROP COLUMN former_used;
ALTER TABLE oauth_client DROP COLUMN secret_used;
