"""Files: any table, and every file of our own, read or written whole or not at all."""
