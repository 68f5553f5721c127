"""Erasure of persons from what an organization has recorded."""
