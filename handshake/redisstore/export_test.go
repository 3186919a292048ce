package redisstore

// Waiting is how many callers wait for events of the feed and have found none.
func (s *Store) Waiting() int {
	s.feed.watcher.mu.Lock()
	defer s.feed.watcher.mu.Unlock()
	return s.feed.watcher.waiting
}
