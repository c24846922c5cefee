"""Who fetches feeds, as numbers that name nobody."""
