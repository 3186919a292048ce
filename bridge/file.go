package bridge

// NewBug is a bug to be filed.
type NewBug struct {
	Title       string
	Description string
	Product     string
	Component   string
	// Fields are further members that the caller gave, strings by the tracker's
	// own names.
	Fields map[string]string
	// Key is the caller's idempotency key, as in [NewComment].
	Key string
}
