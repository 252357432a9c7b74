"""What comes in: the columns, the log, the catalog, foreign layouts and the bundled sample."""
