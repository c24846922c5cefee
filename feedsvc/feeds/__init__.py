"""Feeds: a selection of articles, published as documents that feed readers fetch.

`select` reads which articles are in a window; `entries` is what one of them says; `syndication`
(RSS and Atom) and `jsonfeed` write it down; `fragments` keeps what has been written once;
`documents` joins, stores and loads the result. Serving is the web's work.
"""
