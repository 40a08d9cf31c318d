"""Sessions: one target and everything the archives hold about it, kept in a folder."""
