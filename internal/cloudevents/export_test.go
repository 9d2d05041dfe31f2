package cloudevents

// What the external tests need to reach.
var (
	ParseTime = parseTime
)
