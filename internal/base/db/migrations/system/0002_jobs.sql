-- +goose Up
-- Which practices have work due and when. It holds no patient data, lies outside row security so that the scheduler can read
-- it across practices, and can be rebuilt from the practices' own job tables at any time.
CREATE TABLE job_due (
  practice BIGINT NOT NULL PRIMARY KEY,
  run_at   BIGINT NOT NULL
);

-- +goose Down
DROP TABLE job_due;
