// Package interop has no code, only tests: what tidings writes is read by the official CloudEvents SDKs for Go and Python, and what they write is read by
// tidings, on real servers. They also read all that the examples send, which is in the examples' testdata/wire.golden. It is a module of its own, so that
// the SDKs never reach users.
//
// Where an SDK has a binding for a broker, that is what reads and writes: Kafka for both, NATS for Go. Elsewhere its HTTP binding does, on the same
// headers and data.
package interop
