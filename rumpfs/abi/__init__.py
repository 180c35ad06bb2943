"""NetBSD's numbers and memory layouts, and the table of system calls. No logic."""
