"""The same functions on a cluster, one engine a module."""
