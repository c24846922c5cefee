"""Where articles come from: each source looks at the outside and yields raw items, untouched."""
