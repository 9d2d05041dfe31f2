// Package chaos has only tests: processes of one service that join, leave, are killed and are stopped under load, on real servers, with an oracle that
// numbers the messages of each key and hears from every process in the order in which things happened.
//
// It is about whole services. What a broker alone has to do about such processes is in broker/brokertest.
package chaos
