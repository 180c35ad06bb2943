"""Trees of files from the host, from archives and from manifests, for the images that makefs makes."""
