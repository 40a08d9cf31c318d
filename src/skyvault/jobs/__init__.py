"""Running jobs: who runs which, with a deadline, a way to stop it, and a place for its results."""
