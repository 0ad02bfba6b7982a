-- +goose Up
-- Roles of the practice's own. n is the role's number for ever and its place in the sets of roles that memberships hold; its name is
-- sealed in body. retired is when it ended (0: in use): its number is never given again.
CREATE TABLE own_role (
  practice_id BIGINT NOT NULL,
  n           BIGINT NOT NULL,
  like_role   TEXT   NOT NULL,
  created     BIGINT NOT NULL, -- µs
  retired     BIGINT NOT NULL, -- µs
  body        BYTEA  NOT NULL,
  PRIMARY KEY (practice_id, n)
) /*clustered*/;

-- +goose Down
DROP TABLE own_role;
