"""The running service: alerts in, positions and books out, whatever dies in between."""
