"""A compiled folder as one page that one looks at."""
