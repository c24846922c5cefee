"""WebSub: the embedded hub, and the hubs elsewhere that are told of changes."""
