package lease

// Members counts the members in a cell's value that do not leave. One that died is counted until another takes its names.
func Members(value []byte) (int, error) {
	t, err := decode(value)
	n := 0
	for _, m := range t.Members {
		if !m.Leaving {
			n++
		}
	}
	return n, err
}
