-- +goose Up
-- Business associate agreements that were signed for the practice. What was signed, by whom and from where is sealed in body.
CREATE TABLE agreement (
  practice_id BIGINT NOT NULL,
  id          BIGINT NOT NULL,
  signed      BIGINT NOT NULL,
  body        BYTEA NOT NULL,
  PRIMARY KEY (practice_id, id)
) /*clustered*/;

-- +goose Down
DROP TABLE agreement;
