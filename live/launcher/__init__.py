"""Starts everything the service needs and keeps it running, as children of one process."""
