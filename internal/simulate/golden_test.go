package simulate

// golden is the digest of the world of seed 7 with 60 patients on amd64. Other processors may
// fuse multiplications and round a last digit otherwise.
const golden = "361f0af1b3402708"
