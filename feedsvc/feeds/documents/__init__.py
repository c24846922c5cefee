"""Documents as they are stored and served: checked, coded, versioned, exported."""
