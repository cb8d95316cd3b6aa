"""The trading rules and the state they act on; the rules read no clock, no socket, no database."""
