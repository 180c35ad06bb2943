"""How fast a system call is, as a ratio to a bare Python echo server that moves the same bytes.

``python -m tests.bench`` runs it. Bursts of the server and of the echo server alternate, and a row is the
median of their pairwise ratios: absolute times of a shared machine mean little.
"""
