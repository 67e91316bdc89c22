"""Fast tests; `e2e` holds the slow ones with whole runs."""
