"""Structures on disks: declarations, codecs and checks; pure functions on bytes."""
