package consume

// task is what a worker takes: a message or a batch.
type task struct {
	message *message
	batch   *batch
}

// ring is a queue of tasks.
type ring struct {
	tasks []task // its length is a power of two
	head  int
	len   int
}

func (r *ring) push(t task) {
	if r.len == len(r.tasks) {
		r.grow()
	}
	r.tasks[(r.head+r.len)&(len(r.tasks)-1)] = t
	r.len++
}

func (r *ring) pop() task {
	t := r.tasks[r.head]
	r.tasks[r.head] = task{}
	r.head = (r.head + 1) & (len(r.tasks) - 1)
	r.len--
	return t
}

func (r *ring) grow() {
	tasks := make([]task, max(64, 2*len(r.tasks)))
	n := copy(tasks, r.tasks[r.head:])
	copy(tasks[n:], r.tasks[:r.head])
	r.tasks, r.head = tasks, 0
}
