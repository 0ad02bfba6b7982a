-- +goose Up
-- Whether the people of a practice sign in through its identity provider only, and who may always use credentials of their own.
CREATE TABLE sign_on_rule (
  practice_id BIGINT NOT NULL,
  practice    BIGINT NOT NULL,
  only_there  SMALLINT NOT NULL,
  recovery    TEXT NOT NULL, -- numbers of people, separated by spaces
  PRIMARY KEY (practice_id, practice)
) /*clustered*/;

-- Who is who at a practice's identity provider. subject is a keyed hash of the provider's own name of the person, or, while
-- state is 'expected', of the mail address they will come with; both are sealed in body.
CREATE TABLE sign_on_link (
  practice_id BIGINT NOT NULL,
  practice    BIGINT NOT NULL,
  connection  TEXT   NOT NULL,
  user_id     BIGINT NOT NULL,
  state       TEXT   NOT NULL, -- expected | linked
  subject     BIGINT NOT NULL,
  created     BIGINT NOT NULL,
  used        BIGINT NOT NULL,
  body        BYTEA  NOT NULL,
  PRIMARY KEY (practice_id, practice, connection, user_id)
) /*clustered*/;
CREATE UNIQUE INDEX sign_on_link_by_subject ON sign_on_link (practice_id, practice, connection, state, subject);

-- +goose Down
DROP TABLE sign_on_link;
DROP TABLE sign_on_rule;
