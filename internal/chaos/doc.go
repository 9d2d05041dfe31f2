// Package chaos has only tests: processes of one service that join, leave and are killed under load, on real servers, with an oracle that
// numbers the messages of each key and hears from every process in the order in which things happened.
package chaos
