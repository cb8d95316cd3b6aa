"""The same rules as live, driven by files: exports, alert payloads or bars."""
