"""Feeds: selections of articles, published as documents that feed readers fetch.

`configured`, `families` and `registry` say which feeds there are, `touched` which of them a change
has to do with. `select` reads which articles are in a window, `fragments` keeps the entries that
have been written once (`writing`), and `render` joins them; `documents` checks, codes, stores and
exports the result. `archive` holds what has left the window, `hub` tells who asked to be told, and
`readers` counts who fetches. Serving is the web's work.
"""
