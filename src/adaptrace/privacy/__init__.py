"""Privacy: pseudonyms at ingest, and forgetting a student wherever they were."""
