"""What people and feed readers see over HTTP: feeds, pages, and the small forms on them."""
