"""From what people bring (files, bytes, arrays, text) to the records that models read; every limit lives here."""
