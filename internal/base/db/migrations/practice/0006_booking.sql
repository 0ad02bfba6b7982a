-- +goose Up
-- One row for each five minutes of each booking. The key makes it impossible to book a
-- person twice for the same time in the same lane; a confirmed double booking takes the
-- next lane.
CREATE TABLE booking (
  practice_id BIGINT   NOT NULL,
  staff       BIGINT   NOT NULL, -- keyed hash of the person's reference
  slot        BIGINT   NOT NULL, -- five-minute steps since 1970, UTC
  lane        SMALLINT NOT NULL,
  appointment TEXT     NOT NULL,
  PRIMARY KEY (practice_id, staff, slot, lane)
) /*clustered*/;

-- +goose Down
DROP TABLE booking;
