"""The gateway's client, and the paper exchange that speaks the gateway's language."""
