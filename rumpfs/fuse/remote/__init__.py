"""The files of a running server as a tree to be mounted.

`rnode` has what is known of a file, `descriptors` the descriptors that are open in the server, `session` a
connection and the ways to a file, `connection` what keeps up one after the other, `tree` the tree.
"""
