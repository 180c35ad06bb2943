"""Block devices: host files, windows on them, disklabels, drivespecs and the etfs registry."""
