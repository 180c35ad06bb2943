"""What the verbs of `rumpfs` do with images of the host, without a server.

The verbs load these modules when they run, because they need devices and file systems.
"""
