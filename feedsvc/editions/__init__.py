"""When a newsletter goes out, what is in it, and for whom. Sends nothing."""
