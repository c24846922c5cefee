"""From a raw item to an article: read, parsed, sanitised once, compared, stored, published."""
