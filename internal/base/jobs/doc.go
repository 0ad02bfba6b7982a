// Package jobs owns work that is done later: a durable queue with leases, retries with backoff,
// unique keys, schedules and dead letters; the outbox, in which an event is saved in the same transaction as its cause;
// and the answers kept under idempotency keys, so that a repeated request has one effect.
//
// It never decides what the work is: handlers belong to the modules and are registered by cmd. It holds no effect outside the
// database: a handler that reaches out does so through base/egress and completes its job in the transaction that records the outcome.
package jobs
