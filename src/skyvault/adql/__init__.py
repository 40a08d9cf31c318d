"""The query language: text -> tokens -> tree -> checked tree -> SQL of a store. No database in here."""
