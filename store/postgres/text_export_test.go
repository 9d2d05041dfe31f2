package postgres

// What the tables hold, for tests that look inside.
var (
	EncodeText    = encodeText
	DecodeText    = decodeText
	EncodeHeaders = encodeHeaders
	DecodeHeaders = decodeHeaders
	LaneOf        = laneOf
	DayOf         = dayOf
)
