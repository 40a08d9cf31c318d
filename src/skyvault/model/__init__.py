"""The vocabulary: frozen values without I/O, the same words everywhere."""
