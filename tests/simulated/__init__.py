"""Deterministic simulation: clients, clock, faults and store under one seed; run.py runs it."""
