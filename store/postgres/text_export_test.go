package postgres

import "github.com/tidings-go/tidings/internal/sqlrow"

// What the tables hold, for tests that look inside.
var (
	EncodeText    = encodeText
	DecodeText    = decodeText
	EncodeHeaders = sqlrow.EncodeHeaders
	DecodeHeaders = sqlrow.DecodeHeaders
	LaneOf        = laneOf
	DayOf         = dayOf
)
