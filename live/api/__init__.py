"""What the service answers over HTTP: views of a few lines over the rooms that do the work."""
