"""Pictures of file systems: what is to be drawn (`scene`), and what draws it as PNG, SVG and HTML."""
