"""Tasks over networks that others made: their own loss on somebody's own pictures and sounds."""
