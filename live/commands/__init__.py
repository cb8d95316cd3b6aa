"""Commands of the running service, one file each; nothing of them is imported by the others."""
