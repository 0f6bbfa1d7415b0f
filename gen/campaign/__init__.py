"""Much work in pieces: on several processes or machines, each result kept in a file of its own."""
