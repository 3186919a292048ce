// Package handshake mints the one-time tokens with which the gateway proves
// to a remote bug tracker that it is itself, and answers the tracker's
// callback.
//
// # The algorithm
//
// A token is 36 letters and digits: eight that carry the millisecond of its
// minting, so that tokens sort by time, five of an [Account], by which live tokens
// can be counted without a look-up, and 23 random ones. One bit of those hints
// whether the token is bound to a tracker, which saves the store a question, so
// that 135 bits are random. A store never sees the text: it keeps the time and the
// first 160 bits of the text's SHA-256, so that what leaks from a store is of no
// use. A token is consumed in one atomic step of the store, which either takes it
// from live to used or says why not; of any number of callbacks, on any number of
// gateways, one is answered 200.
//
// A token may be bound to one tracker. [Authority] decides under which callback
// root and from which networks it is valid; the rules are those of [Tracker].
//
// # The parts
//
// [Authority] mints, revokes and looks up. [Handler] is the callback. [Store]
// is what both need of a database: package boltstore keeps tokens in one file,
// package redisstore in Redis, and package storetest holds both to one
// contract. An [Observer] is told of every event; events never hold a token,
// which is named by its [Fingerprint] wherever people read. [WithTrail] has what
// happens to tokens recorded in an audit trail (package audit), which the same
// store keeps: then a token is minted or accepted only when that is recorded.
package handshake
