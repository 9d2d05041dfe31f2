// Package platform is a small ticket platform built on tidings: it takes bookings over HTTP, confirms them, issues receipts, prints tickets,
// refunds, notifies customers, and shows on a page what is going on, live.
//
// Read it in this order:
//
//	events.go          what happens: five public events and an internal one
//	platform.go        how the parts are put together
//	bookings.go        a business row and its event in one transaction; then a reaction that confirms
//	receipts.go, printing.go, refunds.go, notifications.go
//	ops.go             a read model, updated exactly once per event
//	web.go, api.go     HTTP: bookings, refunds, the read model, server-sent events and the page
//	report.go          reads everything back and tells what was lost, doubled or out of order
//
// The flow of one booking, with the topics of topology Shared:
//
//	POST /bookings → bookings row + BookingMade → outbox → relay → topic "events"
//	topic "events" → lake          (a table with every public event)
//	               → ops           (the read model; each update is an InternalOpsReadModelUpdated, on its own topic, and so a line on the page)
//	               → notifications
//	               → forwarder → topic "events.BookingMade"            → bookings: TicketBookingConfirmed
//	                           → topic "events.TicketBookingConfirmed" → receipts: TicketReceiptIssued
//	                                                                   → printing: TicketPrinted
//
// Each part is a module with its own tables and subscriptions; they know each other by events only. All SQL is what both SQLite and PostgreSQL take.
package platform
