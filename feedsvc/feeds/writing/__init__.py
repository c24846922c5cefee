"""Entries and heads as RSS, Atom, JSON Feed and OPML write them down."""
