"""From what people have to examples: reading, checking, splitting, making questions, caching features."""
