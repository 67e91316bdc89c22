"""How accurate is the harness? Injected costs, measured repeatedly."""
