"""feedsvc: feeds and e-mail digests from the articles an operator already has."""

__version__ = "0.1.0"
