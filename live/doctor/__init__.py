"""Looks at everything the service stands on, and says of each thing what to do about it."""
