"""The next item: policies, constraints, reasons, when to stop, and the catalog as arrays."""
