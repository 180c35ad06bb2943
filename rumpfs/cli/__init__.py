"""The commands: each parses its arguments and puts the faces together."""
