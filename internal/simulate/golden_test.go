package simulate

// golden is the digest of the world of seed 7 with 60 patients on amd64. Other processors may
// fuse multiplications and round a last digit otherwise.
const golden = "be191dba7f3e98c4"
