"""Pages for subscribers: asking, confirming, leaving. Only a POST changes anything."""
