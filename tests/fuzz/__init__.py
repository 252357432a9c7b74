"""The fuzzer: seeded mutants of every format that the package reads, and what becomes of each at every door."""
