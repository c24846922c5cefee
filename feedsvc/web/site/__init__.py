"""Pages for readers: articles, feeds, mails in the browser. They change nothing."""
