"""Privacy: pseudonyms at ingest, their keys, an audit, and forgetting a student wherever they were."""
