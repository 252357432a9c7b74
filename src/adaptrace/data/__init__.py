"""What comes in: the columns, the log, the catalog, published layouts and the sample that is part of the package."""
