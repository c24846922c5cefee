"""Feed documents over HTTP, from memory and in front of the framework."""
