"""Tests of districts: every student, every night."""
