"""`rumpfs explore`: a browser of images in the terminal, made with textual (the extra ``tui``)."""
