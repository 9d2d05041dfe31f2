package cloudevents

import "time"

// parseTime reads an RFC 3339 time. time.Parse is not used because it accepts what the RFC forbids (hours of one digit, a decimal
// comma) and rejects what it allows (lower-case t and z, leap seconds). Digits beyond nanoseconds are cut off.
func parseTime(s string) (time.Time, bool) {
	const dateTime = len("2006-01-02T15:04:05")
	if len(s) <= dateTime || s[4] != '-' || s[7] != '-' || s[10]|0x20 != 't' || s[13] != ':' || s[16] != ':' {
		return time.Time{}, false
	}
	year, month, day := number(s[0:4]), number(s[5:7]), number(s[8:10])
	hour, minute, second := number(s[11:13]), number(s[14:16]), number(s[17:19])
	if year < 0 || !between(month, 1, 12) || day < 1 || !between(hour, 0, 23) || !between(minute, 0, 59) || !between(second, 0, 60) {
		return time.Time{}, false
	}
	nanos, rest, ok := fraction(s[dateTime:])
	if !ok {
		return time.Time{}, false
	}
	offset, ok := zone(rest)
	if !ok {
		return time.Time{}, false
	}
	leap := second == 60
	if leap { // Go has no leap seconds: the last moment before it is the nearest that sorts right
		second, nanos = 59, 999_999_999
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	if t.Day() != day {
		return time.Time{}, false // the month is shorter
	}
	t = t.Add(-offset)
	if leap && (t.Hour() != 23 || t.Minute() != 59) {
		return time.Time{}, false
	}
	return t, writable(t)
}

// fraction reads the optional ".123" at the beginning of s and returns it in nanoseconds, and what follows.
func fraction(s string) (nanos int, rest string, ok bool) {
	if s == "" || s[0] != '.' {
		return 0, s, true
	}
	i := 1
	for unit := 100_000_000; i < len(s) && isDigit(s[i]); i++ {
		nanos += int(s[i]-'0') * unit
		unit /= 10
	}
	return nanos, s[i:], i > 1
}

// zone reads an offset from UTC, which must be all of s.
func zone(s string) (time.Duration, bool) {
	if len(s) == 1 {
		return 0, s[0]|0x20 == 'z'
	}
	if len(s) != len("+07:00") || s[3] != ':' || (s[0] != '+' && s[0] != '-') {
		return 0, false
	}
	hour, minute := number(s[1:3]), number(s[4:6])
	if !between(hour, 0, 23) || !between(minute, 0, 59) {
		return 0, false
	}
	offset := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute
	if s[0] == '-' {
		return -offset, true
	}
	return offset, true
}

// appendTime appends t as an RFC 3339 time in UTC, as precise as it is.
func appendTime(b []byte, t time.Time) []byte { return t.UTC().AppendFormat(b, time.RFC3339Nano) }

// writable reports whether RFC 3339, whose years have four digits, can express t.
func writable(t time.Time) bool { return between(t.UTC().Year(), 0, 9999) }

// number is the value of decimal digits, or -1 if s has anything else.
func number(s string) int {
	n := 0
	for i := range len(s) {
		if !isDigit(s[i]) {
			return -1
		}
		n = n*10 + int(s[i]-'0')
	}
	return n
}

func between(n, low, high int) bool { return low <= n && n <= high }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
