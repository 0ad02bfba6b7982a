package simulate

// golden is the digest of the world of seed 7 with 60 patients.
const golden = "fd6503f164e9f200"
