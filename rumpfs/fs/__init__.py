"""File systems: a package each, entered in the kernel as a component."""
