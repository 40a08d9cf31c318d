"""Fetching from archives: an HTTP client with deadlines and manners, and downloads that survive anything."""
