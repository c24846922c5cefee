"""Archive pages (RFC 5005 §4): what has left a feed's window, for who wants all of it."""
