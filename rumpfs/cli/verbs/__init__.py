"""The verbs of `rumpfs`, a module each; only the one that is used is imported.

A module has EXAMPLES, `arguments` (adds its options to a parser) and `run` (does it). The table of verbs
is in rumpfs.cli.rumpfs.
"""
